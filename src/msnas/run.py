"""Does a run, from configuration to result. Imports PyTorch only when there is work to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from msnas.build import build
from msnas.errors import StorageError, one_line
from msnas.identity import digest
from msnas.locks import file_lock
from msnas.packages import allowing
from msnas.plan import Plan, make_plan
from msnas.report.run_log import run_log
from msnas.report.tracker import Tracker, live, write_mirror
from msnas.results.result import Result
from msnas.run_directory import RunDirectory
from msnas.terminal import say, terminal


def run(
    cfg: DictConfig | Mapping[str, Any],
    *,
    console: Console | None = None,
    command: Sequence[str] = (),
    of_scan: bool = False,
) -> dict[str, Any]:
    """Do the configured run, or show it if it is finished; return its result.

    Given the words of the `command` that configured the run, print the command that trains its
    chain again. With `pretrain.only` the result is empty: only the store gets a candidate.

    An error is recorded in the run directory, except in two cases: an earlier result is kept until
    a new result is whole, and an error found before any work is recorded only for a run `of_scan`.
    Raises ConfigError, DataError or TrainingError for errors that the user can mend.
    """
    console = console or terminal()
    plan = make_plan(cfg)
    if of_scan and plan.workers == "auto":
        plan = replace(plan, workers=1)  # the scan's own processes are as many as there are cores
    with allowing(plan.allow):
        return _run(plan, console, command, checked=of_scan)


def _run(
    plan: Plan, console: Console, command: Sequence[str] = (), *, checked: bool = True
) -> dict[str, Any]:
    if plan.config["pretrain"]["only"] is not None:
        for one in plan.folds or [plan]:
            _pretrain(one, console)
        return {}
    directory = RunDirectory(plan.directory)
    # before the lock: the user may not be allowed to write to the folder
    if (finished := _shown(plan, directory, console, command)) is not None:
        _mirror_if_missing(plan, directory, finished, console)
        return finished
    if not plan.folds:
        say(console, f"Run: {directory.path}")  # before PyTorch, which takes seconds to import
    if not checked:
        build(plan.config["logger"], key="logger", of=Tracker)
        from msnas.parts import check_parts

        check_parts(plan)
    try:
        directory.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"output: cannot write into {plan.output} ({error})") from error
    what = f"doing the run {directory.path}"
    with file_lock(directory.lock, what=what, say=partial(say, console)):
        if (finished := _shown(plan, directory, console, command)) is not None:
            return finished
        if damage := directory.damage():
            say(console, f"damaged, done again: {damage}")
        kept = not damage and directory.finished() is not None
        if not kept and directory.failure() is None:  # a failure's record counts the attempts
            directory.drop_result()
        try:
            result = _work(plan, directory, console, repeat=kept)
        except Exception as error:
            if not kept:
                with suppress(OSError, StorageError):  # a full disk: the first error counts
                    directory.write_failure(plan, error)
            raise
        _show(plan, result, console, command)
        return result


def _shown(
    plan: Plan, directory: RunDirectory, console: Console, command: Sequence[str]
) -> dict[str, Any] | None:
    """Show a finished run and return its result; None if there is something to do."""
    finished = directory.finished()
    if finished is None or plan.config["force"] or directory.damage():
        return None
    say(console, f"This run is finished (force=true repeats it): {directory.path}")
    _show(plan, finished, console, command)
    return finished


def _show(plan: Plan, record: Mapping[str, Any], console: Console, command: Sequence[str]) -> None:
    from msnas.report.table import show_result  # reads HDF5: not before the run says where it is

    show_result(Result.of(record, config=plan.config, directory=plan.directory), console, command)


def _mirror_if_missing(
    plan: Plan, directory: RunDirectory, result: Mapping[str, Any], console: Console
) -> None:
    """Write the logger's copy of the run if it was never written; an error is only a warning."""
    tracker = build(plan.config["logger"], key="logger", of=Tracker)
    if not tracker.missing(directory):
        return
    what = f"doing the run {directory.path}"
    try:
        with (
            file_lock(directory.lock, what=what, say=partial(say, console)),
            run_log(directory.log, console),
        ):
            if tracker.missing(directory):  # else another process has just written it
                write_mirror(tracker, directory, result)
    except (OSError, StorageError) as error:
        say(console, f"warning: {type(tracker).__name__} cannot write here ({one_line(error)})")


def _work(plan: Plan, directory: RunDirectory, console: Console, *, repeat: bool) -> dict[str, Any]:
    if plan.folds:
        return _cross_fit(plan, directory, console, repeat=repeat)
    # PyTorch and Lightning take seconds to import: only when there is something to train
    from msnas.pipeline import run_stages
    from msnas.training.progress import Display

    tracker = build(plan.config["logger"], key="logger", of=Tracker)
    with run_log(directory.log, console), live(tracker, directory) as tell:
        # a repeated run leaves the logger's copy as it is until all is done
        display = Display(console) if repeat else Display(console, tell)
        return run_stages(plan, directory, display, tracker, repeat=repeat)


def _cross_fit(
    plan: Plan, final: RunDirectory, console: Console, *, repeat: bool
) -> dict[str, Any]:
    """Do the runs of all folds and put them together; `repeat` as in `run_stages`."""
    from msnas.results.folds import Folds

    directory, since = (final.again, final.again.begin()) if repeat else (final, 0)
    directory.write_config(plan.config)  # the folders below are part of this run
    for number, fold in enumerate(plan.folds):
        say(console, f"Fold {number} of 0 to {len(plan.folds) - 1}")
        done = repeat and RunDirectory(fold.directory).finished_at() > since
        _run(replace(fold, config={**fold.config, "force": False}) if done else fold, console)
    with run_log(directory.log, console):
        folds = Folds([Result.read(fold.directory) for fold in plan.folds])
        attributes = {"key": plan.key}
        folds.write_losses(
            directory.losses, attributes={**attributes, "events": digest(plan.data_identity)}
        )
        folds.write_outputs(directory.outputs, attributes=attributes)
        directory.write_history([])  # each fold has its own history
        found = folds.result(directory=final.path, config=plan.config, key=plan.key).to_json()
        directory.write_result(found)
        if repeat:
            final.take(directory)
        write_mirror(build(plan.config["logger"], key="logger", of=Tracker), final, found)
    return found


def _pretrain(plan: Plan, console: Console) -> None:
    from msnas.pipeline import pretrain_only
    from msnas.training.progress import Display

    log = plan.output / "cache" / "pretrain.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with run_log(log, console):
        pretrain_only(plan, Display(console))
