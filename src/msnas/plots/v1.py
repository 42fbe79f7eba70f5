"""The first and the last task's metric, and validity, against v1 (as in Figs. 3 and 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from msnas.plots.against import BARS, panel_of, with_counts
from msnas.plots.axes import metric_axis, v1_axis
from msnas.plots.grammar import Chart, Look, NothingToDraw
from msnas.results.result import TASK_WEIGHT
from msnas.results.runs import Runs

ACROSS = "Runs whose task weights are not fixed are a line across."
PARAMETER = f"parameter/{TASK_WEIGHT}"
NO_LOSS = "At v1 = 1 the last task has no loss; its metric there is no result, and not shown."


def against_v1(
    runs: Runs, tables: Mapping[str, pd.DataFrame], looks: Mapping[str, Look], notes: Sequence[str]
) -> Chart:
    """A panel per quantity; `tables` have, by label, rows as in `runs.wide`.

    Raises NothingToDraw for a chain of one task or without test numbers.
    """
    if runs.finished and len(runs.finished[0].tasks) < 2:
        raise NothingToDraw("the chain has one task, so there is no v1")
    parts, notes = [], list(notes)
    for quantity in runs.quantities.all:
        for label, table in tables.items():
            if quantity.test in table:
                part = table.dropna(subset=quantity.test)
                trained = _trained(runs, part, quantity.task)
                if not trained.all() and NO_LOSS not in notes:
                    notes.append(NO_LOSS)
                part = part[trained]
                told = part["chain"] + ", seed " + part["seed"].astype(str)
                rows = part[["key"]].assign(x=fixed_v1(runs, part), y=part[quantity.test])
                kind = {"once": PARAMETER in part, "panel": quantity.name, "series": label}
                parts.append(rows.assign(told=told, **kind))
    frame = pd.concat(parts) if parts else pd.DataFrame()
    if frame.empty:
        raise NothingToDraw("no run has a metric that is one number with a better direction")
    frame, looks = with_counts(frame, looks)
    panels = []
    for quantity in runs.quantities.all:
        rows = frame[frame["panel"] == quantity.name]
        if len(rows):
            y = metric_axis(quantity)
            panels.append(panel_of(rows, looks, x=v1_axis(), y=y, joined=True))
    return Chart(
        title=runs.finished[0].problem,
        panels=panels,
        columns=len(panels),
        size=(4.1, 3.8),
        notes=[BARS, ACROSS, *notes],
    )


def _trained(runs: Runs, table: pd.DataFrame, task: str) -> pd.Series:
    """Whether the connected training changed a task's candidate for the loss of a task with weight.

    That is the task's own loss or a later one. A candidate that was only trained alone counts too.
    """
    tasks = runs.finished[0].tasks
    names = [f"weight/{one}" for one in tasks[tasks.index(task) :]] if task in tasks else []
    weights = table.reindex(columns=names)
    alone = [run.key for run in runs.finished if run.config["method"].get("reoptimise") is False]
    reached: pd.Series = ~(weights == 0).all(axis=1) | table["key"].isin(alone)
    return reached if names and PARAMETER not in table else reached | True


def fixed_v1(runs: Runs, table: pd.DataFrame) -> pd.Series:
    """The v1 of rows as in `runs.wide`, NaN where the task weights are not fixed."""
    free = [run.key for run in runs.finished if run.weighting != "Fixed"]
    return table["v1"].astype(float).mask(table["key"].isin(free))


def conditions_by_label(runs: Runs) -> dict[str, pd.DataFrame]:
    """By label, the runs that were trained once for a range of v1, at each v1 judged."""
    if PARAMETER not in runs.conditions:
        return {}
    table = runs.conditions.dropna(subset=PARAMETER)
    return {str(label): part for label, part in table.groupby("label")}
