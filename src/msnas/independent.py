"""A run's trainings that depend on no other: worker processes may do them (`msnas.workers`)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from msnas.data.module import event_count
from msnas.errors import BusyError
from msnas.evaluation.judge import judge_identity
from msnas.given import holds_given
from msnas.packages import allowing
from msnas.parts import Parts, ready_parts
from msnas.plan import Plan
from msnas.report.run_log import run_log
from msnas.scan.work import pretraining_entry
from msnas.selection import pretrain, pretrained
from msnas.terminal import terminal
from msnas.training.progress import Display
from msnas.workers import helped, processes

log = logging.getLogger("msnas")


def _independent(parts: Parts) -> dict[str, tuple[Path, Callable[[], object]]]:
    """The run's trainings that depend on no other: their place in the store, and what does them.

    The judges, which are needed last, come first: workers begin at the other end.
    """
    plan = parts.plan
    found: dict[str, tuple[Path, Callable[[], object]]] = {}
    for task in parts.chain.tasks:
        if settings := plan.config["tasks"][task.name].get("validity"):
            data, machine = plan.data_identity, plan.machine
            identity = judge_identity(task, settings, data_identity=data, machine=machine)
            place = parts.scoring.store.place("validity", identity)
            found[f"the judge of {task.name}"] = place, partial(parts.scoring.judge, task)
    if plan.config["pretrain"]["enabled"]:
        for label, (level, name) in pretrained(parts).items():
            place = pretraining_entry(plan, level, name)
            found[label] = place, partial(pretrain, parts, only=label)
    return found


@contextmanager
def in_parallel(parts: Parts, log_file: Path, since: int | None) -> Iterator[None]:
    """Inside, worker processes do trainings that the run will want, as `trainer.workers` says."""
    plan, store = parts.plan, parts.fit.store
    left = {
        place: label
        for label, (place, _) in _independent(parts).items()
        if place.parent.name in store.repeat or not place.is_dir()
    }
    asked = plan.workers
    if asked != 1 and holds_given(plan.config):
        if asked != "auto":
            log.warning("trainer.workers: parts made in Python stay in this process, alone")
        asked = 1
    count = processes(
        asked,
        left=len(left),
        events=event_count(parts.events.train),
        epochs=plan.config["recipe"]["pretrain"]["epochs"],
        threads=plan.machine["threads"],
        accelerator=plan.machine["accelerator"],
    )
    if count > 1:
        log.info("%d processes train (trainer.workers): the same numbers, sooner", count)
        store.shared = left
    with helped(count - 1, assist, plan, log_file, since):
        yield


def assist(plan: Plan, log_file: Path, since: int | None, place: int) -> None:
    """The work of a worker: the run's independent trainings, the last ones first.

    The run begins with the first ones. What another process trains is left to it. An error is left
    to the run, which will meet it too; the run's log gets the traceback.
    """
    quiet = terminal(quiet=True)
    with allowing(plan.allow), run_log(log_file, quiet):
        log.setLevel(logging.WARNING)  # the run itself tells the rest
        try:
            parts = ready_parts(plan, Display(quiet), since=since, wait=False)
            works = [work for _, work in _independent(parts).values()][::-1]
            for work in works[place:] + works[:place]:
                with suppress(BusyError):
                    work()
        except Exception:
            log.exception("a worker ended with an error")
            raise SystemExit(1) from None
