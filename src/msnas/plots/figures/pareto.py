"""One task against the other: fixed weights and other weightings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from msnas.plots.against import number_of_runs
from msnas.plots.axes import metric_axis
from msnas.plots.grammar import Chart, Layer, Look, NothingToDraw, Panel, Points
from msnas.plots.look import MARKERS, chain_looks, in_order, looks, method_of
from msnas.plots.plane import marks_last, over_weights, plane_layers, two_tasks
from msnas.results.alike import WEIGHTS, labels
from msnas.results.runs import Runs

MOST = 11
"""Most series that one figure can tell apart."""

FRONT, ONCE = "fixed weights", "YOTO"

HOW = (
    "Large: medians over seeds of both metrics; thin lines: from the lowest to the highest seed; "
    "small: single runs, but at weights 0 and 1. What lies beyond an axis is told at its edge."
)


def chart(runs: Runs) -> Chart:
    """The test metrics of both supervised tasks.

    Large markers are medians over seeds, joined along the weight of the first task where that is
    fixed (some are labelled with it) or chosen after one training (YOTO); weightings that find the
    weights by themselves have one marker each. At weight 0 and 1 one task is not trained; where
    that lies far from the rest it is told at the edge.
    """
    tasks = two_tasks(runs.finished)
    told = labels(runs.finished, without=WEIGHTS)
    rows = []
    for run, label in zip(runs.finished, told, strict=True):
        kind = ONCE if over_weights(run) else FRONT if run.fixed_v1 is not None else run.weighting
        name = f"{label}, {kind}" if len(set(told)) > 1 else kind
        rows += [{**one, "series": name} for one in tasks.of(run, "test")]
    frame = pd.DataFrame(rows, columns=["series", "once", "v1", "x", "y", "key", "seed"])
    frame = frame.astype({"v1": float})
    weights = frame.groupby("series")["v1"].nunique()
    frame = frame[frame["series"].map(weights) != 1]  # 0: weights that are not fixed
    joined = [name for name in in_order(list(frame["series"])) if weights[name]]
    joined.sort(key=lambda name: not name.endswith(FRONT))
    order = joined + [name for name in in_order(list(frame["series"])) if name not in joined]
    if not joined and len(order) < 2:
        raise NothingToDraw("all runs have the same task weights and the same weighting")
    left = f"Not shown: {', '.join(order[MOST:])}."
    layers: list[Layer] = []
    for name, look in series_looks(order[:MOST]).items():
        layers += _layers(name, frame[frame["series"] == name], look)
    x, y = (metric_axis(one, direction=True) for one in tasks)
    return Chart(
        title=runs.finished[0].problem,
        panels=[Panel(x=x, y=y, layers=marks_last(layers))],
        columns=1,
        size=(6.4, 5.0),
        notes=[HOW, left] if order[MOST:] else [HOW],
    )


def _layers(name: str, rows: pd.DataFrame, look: Look) -> Iterator[Layer]:
    """The layers of a series, with bars over the range of its runs."""
    middle = medians(rows)
    ends = ["left", "right", "low", "high"]
    if (middle["n"] > 1).any():
        reach = middle[["x", "y", "keys", *ends]]
        yield Points(rows=reach, look=look, size=0, opacity=0.45, loose=True)
    yield from plane_layers(name, rows, middle.drop(columns=ends), look)


def medians(rows: pd.DataFrame) -> pd.DataFrame:
    """Median of x and y at each v1, in order, with lowest and highest values, n, and texts."""
    found = []
    for v1, part in rows.groupby("v1", sort=True, dropna=False):
        row = {"v1": v1, "x": part["x"].median(), "y": part["y"].median(), "n": len(part)}
        row |= {"left": part["x"].min(), "right": part["x"].max()}
        row |= {"low": part["y"].min(), "high": part["y"].max()}
        row["keys"] = list(part["key"])
        row["told"] = f"median of {number_of_runs(len(part))}" + (
            f" at v1 = {v1:g}" if v1 == v1 else ""
        )
        found.append({**row, "key": part["key"].iloc[0] if len(part) == 1 else ""})
    return pd.DataFrame(found)


def series_looks(names: Sequence[str]) -> dict[str, Look]:
    """Looks with different markers; colours of methods, or black for the front of one method."""
    if FRONT not in names and len({method_of(name) for name in names}) > 1:
        found = looks(names)
    else:
        found = {FRONT: Look(), **chain_looks([name for name in names if name != FRONT])}
    return {
        name: replace(found[name], marker=MARKERS[number % len(MARKERS)], dash="solid")
        for number, name in enumerate(names)
    }
