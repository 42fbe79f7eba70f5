"""Panels of a classification: accuracy of both classes, balanced accuracy, AUC."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from msnas.plots.against import panel_of
from msnas.plots.grammar import Axis, Look, Panel
from msnas.plots.look import COLOURS
from msnas.results.result import Result

PANELS = {
    "accuracy of a class": {"minor_accuracy": "minor class", "major_accuracy": "major class"},
    "balanced accuracy": {"balanced_accuracy": "balanced"},
    "AUC": {"auc": "AUC"},
}
"""By label of the panel: the last part of a metric's name, and the name of its series."""

LOOKS = {
    "minor class": Look(colour=COLOURS["vermilion"]),
    "major class": Look(colour=COLOURS["blue"]),
    "balanced": Look(colour=COLOURS["green"]),
    "AUC": Look(colour=COLOURS["purple"]),
}


def has_class_metric(run: Result, task: str) -> bool:
    """Whether a task has one of the shown metrics."""
    return any(f"{task}/{name}" in run.directions for shown in PANELS.values() for name in shown)


def class_rows(task: str, row: str, numbers: Callable[[str], pd.DataFrame]) -> pd.DataFrame:
    """The `numbers` of every metric that has some, in panels of one row with the title `row`."""
    found = [
        numbers(f"{task}/{name}").assign(
            panel=f"{row}|{label}", series=series, row=row, y_axis=label
        )
        for label, shown in PANELS.items()
        for name, series in shown.items()
    ]
    return pd.concat([one for one in found if len(one)] or found[:1])


def class_panels(
    rows: pd.DataFrame, looks: Mapping[str, Look], x: Axis, apart: float
) -> list[Panel]:
    """A panel for each metric in the rows."""
    found = []
    for _, part in rows.groupby("panel", sort=False):
        title, label = part[["row", "y_axis"]].iloc[0]
        y = Axis(label=f"test {label}")
        found.append(panel_of(part, looks, x=x, y=y, title=title, apart=apart))
    return found
