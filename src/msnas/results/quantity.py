"""The numbers runs are judged by: name, direction, and words for axes and tables. No PyTorch.

The words are the problem's own, from the `words` of its tasks in a run's config.yaml:

    words: {label: tau calibration, metrics: {mse: {label: MSE, unit: (100 GeV)^2}}}

Without them they follow from the names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msnas.results.records import is_number
from msnas.results.result import VALIDITY, Part, Result

CAPITALS = ("auc", "mse", "mae", "rmse")
"""Metrics that are written in capital letters."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number of a run's selected chain, `<task>/<metric>`; None: no direction is better."""

    name: str
    label: str
    higher_is_better: bool | None
    unit: str | None = None

    @property
    def task(self) -> str:
        """The task it is of."""
        return self.name.split("/")[0]

    @property
    def metric(self) -> str:
        """Its name in the task."""
        return self.name.split("/", 1)[1]

    @property
    def axis(self) -> str:
        """Label and unit, as in `tau calibration MSE [(100 GeV)^2]`."""
        return self.label + (f" [{self.unit}]" if self.unit else "")

    @property
    def better(self) -> str:
        """`higher`, `lower`, or nothing."""
        return {True: "higher", False: "lower", None: ""}[self.higher_is_better]

    @property
    def sign(self) -> float:
        """What makes more of it better: 1 or -1; 0 where neither is."""
        return {True: 1.0, False: -1.0, None: 0.0}[self.higher_is_better]

    @property
    def test(self) -> str:
        """Its column of test events in the table of runs."""
        return f"test/{self.name}"

    @property
    def valid(self) -> str:
        """Its column of validation events."""
        return f"valid/{self.name}"

    def of(self, run: Result, part: Part = "test") -> float | None:
        """The number of a run's own selected chain."""
        return number_of(run.part(part), self.name)


@dataclass(frozen=True, kw_only=True)
class Quantities:
    """What is looked at first: the first and the last task's metric, and validity.

    Of several metrics of a task the first that is one number and has a direction. `first` is None
    in a chain of one task, or if the first task has no such metric.
    """

    first: Quantity | None
    last: Quantity | None
    validity: Quantity | None

    @property
    def all(self) -> list[Quantity]:
        """Those that are there, in the order of the chain."""
        return [one for one in (self.first, self.last, self.validity) if one is not None]


def quantities_of(runs: Sequence[Result]) -> Quantities:
    """The quantities of runs of one problem; a run without test numbers decides nothing."""
    tasks = runs[0].tasks if runs else []
    found = [quantity_of(runs, task) for task in tasks]
    validity = any(is_number(run.test.get(VALIDITY)) for run in runs)
    return Quantities(
        first=found[0] if len(tasks) > 1 else None,
        last=found[-1] if tasks else None,
        validity=named(runs, VALIDITY, None) if validity else None,
    )


def quantity_of(runs: Sequence[Result], task: str) -> Quantity | None:
    """The first test metric of a task that is one number with a direction in any run."""
    for run in runs:
        for name, higher in run.directed("test").items():
            if name.startswith(f"{task}/"):
                return named(runs, name, higher)
    return None


def named(runs: Sequence[Result], name: str, higher_is_better: bool | None) -> Quantity:
    """A quantity with the words of the first run that has some for it."""
    if name == VALIDITY:
        return Quantity(name=name, label="validity (all variables)", higher_is_better=None)
    task, metric = name.split("/", 1)
    words: Mapping[str, Any] = next(
        (found for run in runs if (found := run.config["tasks"].get(task, {}).get("words"))),
        {},
    )
    own = words.get("metrics", {}).get(metric, {})
    label = own.get("label") or metric_words(metric)
    told = words.get("label")
    return Quantity(
        name=name,
        label=f"{told} {label}" if told else f"{label} of {task}",
        higher_is_better=higher_is_better,
        unit=own.get("unit"),
    )


def metric_words(metric: str) -> str:
    """A metric's name for an axis.

    >>> metric_words("auc"), metric_words("class_accuracy")
    ('AUC', 'class accuracy')
    """
    return metric.upper() if metric in CAPITALS else metric.replace("_", " ")


def number_of(values: Mapping[str, Any], name: str) -> float | None:
    """A number by its name; None if it is not there, is NaN, or is not one number."""
    value: Any = values.get(name)
    return float(value) if is_number(value) and value == value else None
