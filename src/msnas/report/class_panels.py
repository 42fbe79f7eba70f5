"""Panels of a classification: accuracy of both classes, balanced accuracy, AUC.

Imports no PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msnas.report.collect import FinishedRun
from msnas.report.panels import Panel, Series, Value
from msnas.report.parameter_axis import ParameterAxis
from msnas.report.style import COLOURS


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A metric by the end of its name, what it is called, its colour."""

    name: str
    label: str
    colour: str


CLASSES = (
    Shown(name="minor_accuracy", label="minor class", colour=COLOURS["vermilion"]),
    Shown(name="major_accuracy", label="major class", colour=COLOURS["blue"]),
)
BALANCED = Shown(name="balanced_accuracy", label="balanced", colour=COLOURS["green"])
AUC = Shown(name="auc", label="AUC", colour=COLOURS["purple"])

PANELS = (
    ("accuracy of a class", CLASSES),
    ("balanced accuracy", (BALANCED,)),
    ("AUC", (AUC,)),
)

Numbers = Callable[[str], Sequence[Value]]
"""The values of a test metric, `<task>/<metric>`."""


def has_class_metric(run: FinishedRun, task: str) -> bool:
    """Whether a task has one of the shown metrics."""
    names = {one.name for _, shown in PANELS for one in shown}
    return any(f"{task}/{name}" in run.result["directions"] for name in names)


def class_panels(
    task: str, title: str, axis: ParameterAxis, kinds: Sequence[tuple[bool, Numbers]]
) -> list[Panel]:
    """A panel for each metric that is there; `kinds` as single trainings or for a range."""
    found = []
    for label, shown in PANELS:
        series = [
            Series(label=one.label, colour=one.colour, once=once, values=values)
            for one in shown
            for once, numbers in kinds
            if (values := numbers(f"{task}/{one.name}"))
        ]
        if series:
            found.append(Panel(title=title, label=f"test {label}", axis=axis, series=series))
    return found
