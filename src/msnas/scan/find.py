"""From axes to runs, each known by its key. Imports PyTorch only to look at a method's class."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from typing import Any, final

from msnas.build import class_of
from msnas.data.source import Source
from msnas.errors import MsnasError, one_line
from msnas.packages import allowing
from msnas.plan import Plan, make_plan
from msnas.scan.axes import FASTEST, Axis, combinations, make_axes, of_the_scan
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
    runs: dict[str, RunWork] = {}
    impossible: dict[tuple[str, ...], ImpossibleRun] = {}
    make = Maker(composer, elsewhere=elsewhere)
    optional = any(axis.name == WEIGHT and axis.default for axis in axes)

    for combination in combinations(axes):
        chosen = {name: text for name, text in combination.items() if not of_the_scan(name)}
        overrides = list(chosen.values())
        weightless = [text for name, text in chosen.items() if name != WEIGHT]
        try:
            weighted = _has_weight(composer.values(overrides)) if optional else True
            overrides = overrides if weighted else weightless
            run = make(overrides)
            # only the method's class knows whether it uses both losses, and importing it takes
            # seconds; a finished run with this v1 shows it without the import
            if optional and weighted and run.result is None and not _uses_all_losses(run.plan):
                overrides = weightless
                run = make(overrides)
            runs.setdefault(run.key, run)
        except Exception as error:  # whatever the error is, it is of this combination alone
            impossible.setdefault(tuple(overrides), _impossible(overrides, error))
    return list(runs.values()), list(impossible.values())


@final
class Maker:
    """Makes the run of a list of overrides; raises an MsnasError for overrides of no valid run.

    Runs that differ in their seed alone are checked once.
    """

    def __init__(self, composer: Composer, *, elsewhere: bool) -> None:
        self.composer = composer
        self.elsewhere = elsewhere
        self._sources: dict[str, Source] = {}
        self._plans: dict[tuple[str, ...], tuple[dict[str, Any], Plan]] = {}

    def __call__(self, overrides: Sequence[str]) -> RunWork:
        """The run, and its state."""
        plan = self._plan(overrides)
        refuse_in_scan(plan)
        full = [*overrides, f"trainer.accelerator={plan.machine['accelerator']}"]
        return RunWork(list(overrides), plan, launched_as=full, force=plan.config["force"])

    def _plan(self, overrides: Sequence[str]) -> Plan:
        config = self.composer.values(overrides)
        others = tuple(one for one in overrides if not one.startswith(f"{FASTEST}="))
        shared = {**config, FASTEST: None}
        if others in self._plans and self._plans[others][0] == shared:
            return self._plans[others][1].with_seed(config[FASTEST])
        plan = make_plan(config, sources=self._sources, elsewhere=self.elsewhere)
        self._plans[others] = shared, plan
        return plan


def _has_weight(config: Mapping[str, Any]) -> bool:
    """Whether v1 has a meaning: two losses with fixed weights."""
    tasks = [name for name in config["problem"]["chain"] if config["tasks"][name]["loss"]]
    given = any(value is not None for value in config["task_weights"].values())
    return len(tasks) == 2 and not given and config["weighting"]["_target_"] == FIXED


def _uses_all_losses(plan: Plan) -> bool:
    from msnas.methods.method import Method

    with allowing(plan.allow):
        return class_of(plan.config["method"], key="method", of=Method).intermediate_loss


def _impossible(overrides: list[str], error: Exception) -> ImpossibleRun:
    """An impossible run; with a traceback only if the error is not one of msnas."""
    if isinstance(error, MsnasError):
        return ImpossibleRun(overrides, error=one_line(error))
    text = "".join(traceback.format_exception(error))
    return ImpossibleRun(overrides, error=one_line(error), traceback=text)
