"""From axes to runs, each known by its key. Imports PyTorch only to look at a method's class."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msnas.build import class_of
from msnas.data.source import Source
from msnas.errors import MsnasError, one_line
from msnas.packages import allowing
from msnas.plan import make_plan
from msnas.run_directory import RunDirectory
from msnas.scan.axes import Axis, combinations, make_axes, of_the_scan
from msnas.scan.compose import Composer
from msnas.scan.work import ImpossibleRun, RunWork, refuse_in_scan

WEIGHT = "task_weight"
FIXED = "msnas.weighting.fixed.Fixed"


def find_scan(
    arguments: Sequence[str],
    *,
    params: Mapping[str, Any],
    parts: Sequence[Mapping[str, Any]],
    default_params: Mapping[str, Any],
    composer: Composer,
    elsewhere: bool,
) -> tuple[list[RunWork], list[ImpossibleRun]]:
    """Runs and impossible runs of all parts of a scan, each key once; a part overrides `params`."""
    runs: dict[str, RunWork] = {}
    impossible: list[ImpossibleRun] = []
    seen: list[list[str]] = []
    for part in parts or [{}]:
        axes = make_axes(
            arguments,
            params={**params, **part},
            default_params=default_params,
            parser=composer.parser,
        )
        found, others = find_runs(axes, composer, elsewhere=elsewhere)
        for run in found:
            runs.setdefault(run.plan.key, run)
        impossible += [one for one in others if one.overrides not in seen]
        seen += [one.overrides for one in others]
    return list(runs.values()), impossible


def find_runs(
    axes: Sequence[Axis], composer: Composer, *, elsewhere: bool
) -> tuple[list[RunWork], list[ImpossibleRun]]:
    """All combinations of the axes: the runs, each key once, and the impossible runs.

    A default axis of `task_weight` is left out where v1 has no meaning.
    """
    optional = any(axis.name == WEIGHT and axis.default for axis in axes)
    runs: dict[str, RunWork] = {}
    impossible: dict[tuple[str, ...], ImpossibleRun] = {}
    sources: dict[str, Source] = {}

    for combination in combinations(axes):
        chosen = {name: text for name, text in combination.items() if not of_the_scan(name)}
        overrides = list(chosen.values())
        try:
            config = composer.values(overrides)
            if optional and not _takes_weight(config, sources, elsewhere=elsewhere):
                overrides = [text for name, text in chosen.items() if name != WEIGHT]
                config = composer.values(overrides)
            run = _work_of(config, overrides, sources, elsewhere=elsewhere)
            runs.setdefault(run.key, run)
        except Exception as error:  # whatever the error is, it is of this combination alone
            impossible.setdefault(tuple(overrides), _impossible(overrides, error))
    return list(runs.values()), list(impossible.values())


def maker(composer: Composer, *, elsewhere: bool) -> Callable[[Sequence[str]], RunWork]:
    """A function from overrides to a run; it raises an MsnasError for overrides of no valid run."""
    sources: dict[str, Source] = {}

    def make(overrides: Sequence[str]) -> RunWork:
        config = composer.values(overrides)
        return _work_of(config, list(overrides), sources, elsewhere=elsewhere)

    return make


def _work_of(
    config: Mapping[str, Any],
    overrides: list[str],
    sources: dict[str, Source],
    *,
    elsewhere: bool,
) -> RunWork:
    plan = make_plan(config, sources=sources, elsewhere=elsewhere)
    refuse_in_scan(plan)
    full = [*overrides, f"trainer.accelerator={plan.machine['accelerator']}"]
    return RunWork(overrides, plan, launched_as=full, force=plan.config["force"])


def _impossible(overrides: list[str], error: Exception) -> ImpossibleRun:
    """An impossible run; with a traceback only if the error is not one of msnas."""
    if isinstance(error, MsnasError):
        return ImpossibleRun(overrides, error=one_line(error))
    text = "".join(traceback.format_exception(error))
    return ImpossibleRun(overrides, error=one_line(error), traceback=text)


def _takes_weight(
    config: Mapping[str, Any], sources: dict[str, Source], *, elsewhere: bool
) -> bool:
    """Whether v1 has a meaning: two losses, fixed weights, and a method that uses both losses.

    Only the method's class knows the last, and importing it takes seconds; a finished run with
    this v1 shows it without the import.
    """
    tasks = [name for name in config["problem"]["chain"] if config["tasks"][name]["loss"]]
    given = any(value is not None for value in config["task_weights"].values())
    if len(tasks) != 2 or given or config["weighting"]["_target_"] != FIXED:
        return False
    plan = make_plan(config, sources=sources, elsewhere=elsewhere)
    if RunDirectory(plan.directory).finished() is not None:
        return True
    from msnas.methods.method import Method

    with allowing(plan.allow):
        return class_of(config["method"], key="method", of=Method).intermediate_loss
