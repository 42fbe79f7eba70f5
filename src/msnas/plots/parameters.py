"""Scalar parameters of losses that runs differ in, or were trained for a range of."""

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
    """`tasks.<task>.loss.<name>`: runs at fixed values or for a range of it, alike but for that.

    `left` is the number of those that are not.
    """

    task: str
    name: str
    loss: str
    runs: Sequence[Result]
    left: int

    @property
    def key(self) -> str:
        """Its setting."""
        return f"tasks.{self.task}.loss.{self.name}"

    def of(self, run: Result) -> float:
        """Its value in the settings of a run."""
        return float(loss_of(run, self.task)[self.name])

    def values(self) -> list[float]:
        """Every value it takes, in order."""
        found = {self.of(run) for run in self.runs if not run.conditioned}
        along = [one["parameters"] for run in self.runs for one in run.along(self.key)]
        return sorted(found | {float(one[self.key]) for one in along})


def loss_parameters(runs: Sequence[Result]) -> list[LossParameter]:
    """Those with two values at least; the runs are of one problem."""
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
    """The settings of a task's loss; empty if it has none."""
    return run.config["tasks"].get(task, {}).get("loss") or {}


def words(name: str) -> str:
    """The name of a class in words.

    >>> words("InverseClassFrequency")
    'inverse class frequency'
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
