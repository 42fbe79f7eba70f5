"""Finds scalar parameters of losses that differ between runs, or were trained over a range."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msnas.results.alike import SPLIT, largest
from msnas.results.records import is_number
from msnas.results.result import Result


@dataclass(frozen=True, kw_only=True)
class LossParameter:
    """A parameter `tasks.<task>.loss.<name>`, and runs that differ only in its value or range.

    `left` is the number of runs left out because they differ in other settings.
    """

    task: str
    name: str
    loss: str
    runs: Sequence[Result]
    left: int

    @property
    def key(self) -> str:
        """The setting of the parameter."""
        return f"tasks.{self.task}.loss.{self.name}"

    def of(self, run: Result) -> float:
        """The parameter's value in the settings of a run."""
        return float(loss_of(run, self.task)[self.name])

    def values(self) -> list[float]:
        """All values of the parameter in the runs, in order."""
        found = {self.of(run) for run in self.runs if not run.conditioned}
        along = [one["parameters"] for run in self.runs for one in run.along(self.key)]
        return sorted(found | {float(one[self.key]) for one in along})


def loss_parameters(runs: Sequence[Result]) -> list[LossParameter]:
    """The loss parameters with at least two values; all runs are of one problem."""
    names = dict.fromkeys(
        (task, str(loss_of(run, task).get("_target_")), name)
        for run in runs
        for task in run.tasks
        for name, value in loss_of(run, task).items()
        if is_number(value)
    )
    found = []
    for task, loss, name in names:
        key = f"tasks.{task}.loss.{name}"
        having = [
            run
            for run in runs
            if loss_of(run, task).get("_target_") == loss
            and is_number(loss_of(run, task).get(name))
            and (not run.conditioned or len(run.along(key)) > 1)
        ]
        kept, left = largest(having, but_for=["seed", "weight", *SPLIT, key, "conditioning"])
        kind = loss.rsplit(".", 1)[-1]
        one = LossParameter(task=task, name=name, loss=kind, runs=kept, left=left)
        if kept and len(one.values()) > 1:
            found.append(one)
    return found


def loss_of(run: Result, task: str) -> Mapping[str, Any]:
    """The settings of a task's loss; empty for a task without a loss."""
    return run.config["tasks"].get(task, {}).get("loss") or {}


def words(name: str) -> str:
    """The name of a class in words.

    >>> words("InverseClassFrequency")
    'inverse class frequency'
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
