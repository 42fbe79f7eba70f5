"""Plots numbers of groups of runs side by side: as points, from five runs on also as a violin.

A frame has a row for each run: `column` (on the x axis), `kind` (side by side, each with a colour),
`y`, `key` of the run, `told` (hover text).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from msnas.plots.axes import names_axis
from msnas.plots.grammar import Axis, Chart, Layer, Look, Panel, Points, Violin, Words
from msnas.results.statistics import FEWEST_SEEDS

HOW = (
    f"From {FEWEST_SEEDS} runs on a violin with lines at the quantiles 0, 1/4, 1/2, 3/4 and 1; "
    "below that the line is the median. Numbers below: runs."
)

WIDTH = 0.8
"""Width of all violins of a column together."""


def violins(
    frame: pd.DataFrame,
    columns: Sequence[str],
    looks: Mapping[str, Look],
    *,
    title: str,
    y: Axis,
    notes: Sequence[str],
) -> Chart:
    """A chart of one panel; below each violin stands the number of its runs."""
    kinds = [kind for kind in looks if (frame["kind"] == kind).any()]
    width = min(WIDTH / len(kinds), 0.5)
    layers: list[Layer] = []
    for (column, kind), rows in frame.groupby(["column", "kind"], sort=False):
        x = columns.index(column) + (kinds.index(kind) - (len(kinds) - 1) / 2) * width
        layers += _group(rows, x, width, looks[kind], kind)
    x_axis = names_axis([_folded(name) for name in columns])
    low, high = Panel(x=x_axis, y=y, layers=layers).limits("y")
    low -= 0.05 * (high - low)  # room for the counts
    y = replace(y, limits=(low, high))
    counts = [
        {"x": one.rows["x"].iloc[0], "y": low, "text": len(one.rows)}
        for one in layers
        if isinstance(one, Violin)
    ]
    layers.append(Words(rows=pd.DataFrame(counts), look=Look(colour="#555555"), above=True))
    return Chart(
        title=title,
        panels=[Panel(x=x_axis, y=y, layers=layers)],
        columns=1,
        size=(max(5.0, 1.2 + 0.85 * len(columns)), 4.2),
        notes=[HOW, *notes],
    )


def _group(rows: pd.DataFrame, x: float, width: float, look: Look, kind: str) -> Iterator[Layer]:
    body = len(rows) >= FEWEST_SEEDS
    yield Violin(rows=rows.assign(x=x), look=look, width=width, body=body, label=kind)
    spread = (np.arange(len(rows)) * 0.618034) % 1 - 0.5  # so that equal values can be told apart
    points = rows.assign(x=x + 0.3 * width * spread * (len(rows) > 1))
    yield Points(rows=points, look=look, size=3.5, loose=True)


def _folded(name: str) -> str:
    """A name with one word per line; a long name stays in one line."""
    return name.replace(" ", "\n") if len(name) < 24 else name
