"""The numbers a report is about, found in the runs themselves. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msnas.report.collect import FinishedRun

CAPITALS = ("auc", "mse", "mae")
"""Metrics that are written in capital letters."""

VALIDITY = "validity/joint"


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number of a run's selected chain, `<task>/<metric>`; None: no direction is better."""

    name: str
    label: str
    higher_is_better: bool | None

    @property
    def test(self) -> str:
        """Its column of test events in `frame_of`."""
        return f"test/{self.name}"

    @property
    def valid(self) -> str:
        """The same of validation events."""
        return f"valid/{self.name}"


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


def quantities_of(runs: Sequence[FinishedRun]) -> Quantities:
    """The quantities of runs of one problem; a run without test numbers decides nothing."""
    found: dict[str, bool] = {}
    validity = False
    tasks = runs[0].tasks if runs else []
    for run in runs:
        test = run.result["metrics"].get("test", {})
        for name, higher in run.result["directions"].items():
            if higher is not None and isinstance(test.get(name), int | float):
                found.setdefault(name, higher)
        validity = validity or isinstance(test.get(VALIDITY), int | float)
    of_task = {
        task: next((name for name in found if name.startswith(f"{task}/")), None) for task in tasks
    }

    def quantity(name: str | None) -> Quantity | None:
        if name is None:
            return None
        return Quantity(name=name, label=label_of(name), higher_is_better=found[name])

    return Quantities(
        first=quantity(of_task[tasks[0]]) if len(tasks) > 1 else None,
        last=quantity(of_task[tasks[-1]]) if tasks else None,
        validity=Quantity(name=VALIDITY, label="validity (all variables)", higher_is_better=None)
        if validity
        else None,
    )


def label_of(name: str) -> str:
    """A metric's name for an axis.

    >>> label_of("higgs_id/auc")
    'AUC of higgs_id'
    """
    task, metric = name.split("/", 1)
    return f"{metric.upper() if metric in CAPITALS else metric.replace('_', ' ')} of {task}"
