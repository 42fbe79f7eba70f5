"""The numbers runs are judged by: name, direction, labels for axes and tables. No PyTorch.

Labels and units come from the setting `words` of the tasks in a run's config.yaml:

    words: {label: tau calibration, metrics: {mse: {label: MSE, unit: (100 GeV)^2}}}

Without this setting, labels are made from the names.
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
    """A number `<task>/<metric>` of a run's chain; `higher_is_better` is None if neither way is."""

    name: str
    label: str
    higher_is_better: bool | None
    unit: str | None = None

    @property
    def task(self) -> str:
        """The name of the task."""
        return self.name.split("/")[0]

    @property
    def metric(self) -> str:
        """The name of the metric."""
        return self.name.split("/", 1)[1]

    @property
    def axis(self) -> str:
        """Label and unit, as in `tau calibration MSE [(100 GeV)^2]`."""
        return self.label + (f" [{self.unit}]" if self.unit else "")

    @property
    def better(self) -> str:
        """The better direction: `higher`, `lower`, or empty if there is none."""
        return {True: "higher", False: "lower", None: ""}[self.higher_is_better]

    @property
    def sign(self) -> float:
        """The factor that makes higher numbers better: 1 or -1; 0 without a better direction."""
        return {True: 1.0, False: -1.0, None: 0.0}[self.higher_is_better]

    @property
    def test(self) -> str:
        """The quantity's column in the table of runs, on test events."""
        return f"test/{self.name}"

    @property
    def valid(self) -> str:
        """The quantity's column in the table of runs, on validation events."""
        return f"valid/{self.name}"

    def of(self, run: Result, part: Part = "test") -> float | None:
        """The quantity's value for a run's selected chain; None if it is missing."""
        return number_of(run.part(part), self.name)


@dataclass(frozen=True, kw_only=True)
class Quantities:
    """The main quantities of runs: the first and the last task's metric, and validity.

    A task's metric is its first metric that is one number and has a better direction. `first` is
    None for a chain of one task, or if the first task has no metric of this kind.
    """

    first: Quantity | None
    last: Quantity | None
    validity: Quantity | None

    @property
    def all(self) -> list[Quantity]:
        """The quantities that are not None, in the order of the chain."""
        return [one for one in (self.first, self.last, self.validity) if one is not None]


def quantities_of(runs: Sequence[Result]) -> Quantities:
    """The quantities of runs of one problem; runs without test numbers have no influence."""
    tasks = runs[0].tasks if runs else []
    found = [quantity_of(runs, task) for task in tasks]
    validity = any(is_number(run.test.get(VALIDITY)) for run in runs)
    return Quantities(
        first=found[0] if len(tasks) > 1 else None,
        last=found[-1] if tasks else None,
        validity=named(runs, VALIDITY, None) if validity else None,
    )


def quantity_of(runs: Sequence[Result], task: str) -> Quantity | None:
    """A task's first test metric that is one number with a better direction in any run."""
    for run in runs:
        for name, higher in run.directed("test").items():
            if name.startswith(f"{task}/"):
                return named(runs, name, higher)
    return None


def named(runs: Sequence[Result], name: str, higher_is_better: bool | None) -> Quantity:
    """A quantity with label and unit from the first run that has `words` for the task."""
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
    """A number by its name; None if it is missing, NaN, or not a single number."""
    value: Any = values.get(name)
    return float(value) if is_number(value) and value == value else None
