"""Scalar parameters of losses that runs differ in, or were trained for a range of.

Imports no PyTorch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msnas.report.alike import CONDITIONING, is_conditioned, most_alike
from msnas.report.collect import FinishedRun
from msnas.report.outputs import key_of
from msnas.report.panels import Value


@dataclass(frozen=True, kw_only=True)
class LossParameter:
    """`tasks.<task>.loss.<name>`: runs at fixed values, and runs trained for a range of it."""

    task: str
    name: str
    loss: str
    fixed: Sequence[FinishedRun]
    once: Sequence[FinishedRun]
    notes: Sequence[str]

    @property
    def key(self) -> str:
        """Its setting."""
        return f"tasks.{self.task}.loss.{self.name}"

    def values(self, metric: str, *, once: bool) -> list[Value]:
        """The test numbers of a metric, of one kind of run."""
        if once:
            return [one for run in self.once for one in condition_values(run, self.key, metric)]
        return [
            Value(
                parameter=_value(run, self.task, self.name),
                number=float(number),
                key=key_of(run),
                told=f"{self.name} = {_value(run, self.task, self.name):g}, seed {run.seed}",
            )
            for run in self.fixed
            if _is_number(number := run.result["metrics"].get("test", {}).get(metric))
        ]

    def all_values(self) -> list[float]:
        """Every value it takes, in order."""
        fixed = {_value(run, self.task, self.name) for run in self.fixed}
        once = {
            float(one["parameters"][self.key]) for run in self.once for one in along(run, self.key)
        }
        return sorted(fixed | once)


def loss_parameters(runs: Sequence[FinishedRun]) -> list[LossParameter]:
    """Those with two values at least; the runs are of one problem."""
    found = []
    names: dict[tuple[str, str, str], None] = {}
    for run in runs:
        for task in run.tasks:
            loss = run.config["tasks"][task].get("loss") or {}
            for name, value in loss.items():
                if _is_number(value):
                    names.setdefault((task, str(loss.get("_target_")), name))
    for task, loss, name in names:
        key = f"tasks.{task}.loss.{name}"
        having = [
            run
            for run in runs
            if (settings := run.config["tasks"].get(task, {}).get("loss") or {}).get("_target_")
            == loss
            and _is_number(settings.get(name))
            and (not is_conditioned(run) or len(along(run, key)) > 1)
        ]
        kept, notes = most_alike(having, [key, CONDITIONING])
        one = LossParameter(
            task=task,
            name=name,
            loss=loss.rsplit(".", 1)[-1],
            fixed=[run for run in kept if not is_conditioned(run)],
            once=[run for run in kept if is_conditioned(run)],
            notes=notes,
        )
        if kept and len(one.all_values()) > 1:
            found.append(one)
    return found


def along(run: FinishedRun, key: str) -> list[Mapping[str, Any]]:
    """A run's conditions in which only this parameter varies, the others as in the middle one."""
    there = [one for one in run.result.get("conditions", []) if key in one["parameters"]]
    if not there:
        return []
    middle = _others(there[len(there) // 2], key)
    return [one for one in there if _others(one, key) == middle]


def condition_values(run: FinishedRun, key: str, metric: str, *, part: str = "test") -> list[Value]:
    """The numbers of a metric along one parameter."""
    name = key.rsplit(".", 1)[-1]
    return [
        Value(
            parameter=float(one["parameters"][key]),
            number=float(number),
            key=key_of(run),
            told=f"{name} = {one['parameters'][key]:g}, seed {run.seed}, YOTO",
        )
        for one in along(run, key)
        if _is_number(number := one.get(part, {}).get(metric))
    ]


def words(name: str) -> str:
    """The name of a class in words.

    >>> words("InverseClassFrequency")
    'inverse class frequency'
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _others(condition: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in condition["parameters"].items() if name != key}


def _value(run: FinishedRun, task: str, name: str) -> float:
    return float(run.config["tasks"][task]["loss"][name])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value
