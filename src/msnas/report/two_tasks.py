"""Runs of two supervised tasks: their weights, their numbers, how the weights were found.

Imports no PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msnas.report.alike import is_conditioned
from msnas.report.collect import FinishedRun
from msnas.report.figure import NothingToDraw
from msnas.report.loss_parameters import along
from msnas.report.quantities import Quantity, label_of

TASK_WEIGHT = "task_weight"

WEIGHTS = ("weighting", "task_weight", "task_weights", "conditioning")
"""Settings of how the tasks are weighted."""

FIXED = "Fixed"


@dataclass(frozen=True, kw_only=True)
class TwoTasks:
    """The quantities of both supervised tasks."""

    first: Quantity
    last: Quantity

    def of(self, numbers: Mapping[str, Any]) -> tuple[float, float] | None:
        """Both numbers, if they are there."""
        found = [numbers.get(one.name) for one in (self.first, self.last)]
        if not all(isinstance(value, int | float) and value == value for value in found):
            return None
        return float(found[0]), float(found[1])  # type: ignore[arg-type]

    @property
    def directions(self) -> dict[str, bool]:
        """Whether higher is better, for `knee`."""
        return {
            "first_higher": bool(self.first.higher_is_better),
            "last_higher": bool(self.last.higher_is_better),
        }


def two_tasks(runs: Sequence[FinishedRun]) -> TwoTasks:
    """The first metric of each task that is one number with a direction.

    Raises NothingToDraw for another number of supervised tasks, or without such a metric.
    """
    if not runs:
        raise NothingToDraw("no finished run")
    tasks = runs[0].supervised
    if len(tasks) != 2:
        raise NothingToDraw(f"two tasks with a loss are needed, the chain has {len(tasks)}")
    found = []
    for task in tasks:
        names = {
            name: higher
            for run in runs
            for name, higher in run.result["directions"].items()
            if name.startswith(f"{task}/")
            and higher is not None
            and isinstance(run.result["metrics"].get("test", {}).get(name), int | float)
        }
        if not names:
            raise NothingToDraw(f"{task} has no metric of one number with a direction")
        name = next(iter(names))
        found.append(Quantity(name=name, label=label_of(name), higher_is_better=names[name]))
    return TwoTasks(first=found[0], last=found[1])


def weighting_of(run: FinishedRun) -> str:
    """How the tasks are weighted: the class, or torchjd's aggregator."""
    settings = run.config.get("weighting") or {}
    named = settings.get("aggregator", settings).get("_target_", FIXED)
    return str(named).rsplit(".", 1)[-1]


def fixed_weight(run: FinishedRun) -> float | None:
    """Weight of the first supervised task, if it is fixed and the run is not conditioned."""
    weights = run.result["task_weights"]
    if weighting_of(run) != FIXED or is_conditioned(run):
        return None
    return float(weights[run.supervised[0]]) / float(sum(weights.values()))


def over_weights(run: FinishedRun) -> list[Mapping[str, Any]]:
    """The conditions of a run that was trained for a range of the first weight; else none."""
    found = along(run, TASK_WEIGHT)
    return (
        sorted(found, key=lambda one: float(one["parameters"][TASK_WEIGHT]))
        if len(found) > 1
        else []
    )
