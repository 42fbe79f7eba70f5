"""What perfect intermediate outputs would be worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from msnas.plots.axes import metric_axis, names_axis, whole_axis
from msnas.plots.choose import MOST_LABELS, best_on_validation, told_runs
from msnas.plots.grammar import Axis, Chart, Layer, Look, NothingToDraw, Panel, Points, Rule
from msnas.plots.look import chain_looks
from msnas.results.quantity import named
from msnas.results.result import Result
from msnas.results.runs import Runs

LABEL = 0.25
"""Inches of height for each series: its label stands above the panels."""

APART = 0.6
"""Width over which the series at one name are spread, in distances between names."""


def chart(runs: Runs) -> Chart:
    """The last task's test metric with the truth in place of earlier outputs.

    First panel: number after number is replaced, beginning with the number that alone gains most
    on validation events. Second panel: the gain by the truth of each variable, object and task.
    Bars are one standard error of the difference to the chain as it is, from the choice of test
    events. A chain that gains by the truth has outputs that mean what they claim. Of each method
    and weight the best run on validation data.
    """
    chosen = series_of(runs)
    if not chosen:
        raise NothingToDraw("no run with an earlier output that the truth could replace")
    shown = dict(list(chosen.items())[:MOST_LABELS])
    looks = chain_looks(list(shown))
    first = next(iter(shown.values()))
    metric = first.interventions["ordered_by"] if first.interventions else ""
    higher = first.directions.get(metric, False)  # of a loss, lower is better
    quantity = named(runs.finished, metric, higher)
    names = list(pd.concat(_rows(run, "groups", metric)["told"] for run in shown.values()).unique())
    left = list(chosen)[MOST_LABELS:]
    return Chart(
        title=first.problem,
        panels=[
            Panel(
                x=whole_axis("numbers replaced by the truth"),
                y=metric_axis(quantity, direction=True),
                layers=[_curve(run, metric, looks[name], name) for name, run in shown.items()],
            ),
            Panel(
                x=names_axis(names, "truth of"),
                y=Axis(label=f"difference in {quantity.axis}"),
                layers=list(_worth(shown, metric, looks, names)),
            ),
        ],
        columns=2,
        size=(4.6, 3.8 + LABEL * len(shown)),
        notes=[
            f"Runs: {told_runs(shown)}.",
            *([f"Not shown: {', '.join(left)}."] if left else []),
        ],
    )


def series_of(runs: Runs) -> dict[str, Result]:
    """By method with its settings and v1: the run with interventions that validates best."""
    found: dict[str, dict[int, Result]] = {}
    for run, label in zip(runs.finished, runs.wide.get("label", ()), strict=True):
        if run.interventions:
            v1 = f", $v_1$ = {run.v1:g}" if len(run.weights) == 2 else ""
            found.setdefault(f"{label}{v1}", {})[run.seed] = run
    return {name: best_on_validation(found[name]) for name in sorted(found)}


def _rows(run: Result, kind: str, metric: str) -> pd.DataFrame:
    """A row for each replacement of `curve` or `groups`: name, number, ends of its error bar."""
    told: Any = run.interventions
    rows = pd.DataFrame(
        {
            "told": row["name"],
            "y": row["values"][metric],
            "low": row["values"][metric] - row["errors"][metric],
            "high": row["values"][metric] + row["errors"][metric],
        }
        for row in told[kind]
    )
    return rows.assign(key=run.key)


def _curve(run: Result, metric: str, look: Look, name: str) -> Layer:
    """The curve from the chain as it is to the chain with all outputs replaced."""
    told: Any = run.interventions
    as_it_is = dict.fromkeys(("y", "low", "high"), told["base"][metric])
    first = pd.DataFrame([{"told": "the chain as it is", "key": run.key, **as_it_is}])
    rows = _rows(run, "curve", metric)
    rows = pd.concat([first, rows.assign(told="+ " + rows["told"])], ignore_index=True)
    return Points(rows=rows.assign(x=rows.index), look=look, label=name, width=1.2)


def _worth(
    shown: Mapping[str, Result], metric: str, looks: Mapping[str, Look], names: Sequence[str]
) -> Iterator[Layer]:
    yield Rule(rows=pd.DataFrame({"y": [0.0]}), look=Look(dash="dot"))
    for place, (name, run) in enumerate(shown.items()):
        told: Any = run.interventions
        rows = _rows(run, "groups", metric)
        rows[["y", "low", "high"]] -= told["base"][metric]
        rows["x"] = rows["told"].map(names.index)
        shift = APART * ((place + 0.5) / len(shown) - 0.5)
        yield Points(rows=rows, look=looks[name], label=name, shift=shift)
