"""Metrics of the first and the last task, and validity, against v1: runs, medians, intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from plotly.subplots import make_subplots

from msnas.report.chosen import page_layout
from msnas.report.figure import NothingToDraw
from msnas.report.quantities import Quantity
from msnas.report.scan import Scan
from msnas.report.style import Look, frame, legend_columns, lighter, looks, new_figure, style
from msnas.report.v1_axis import plotly_v1_axis, v1_axis, v1_position
from msnas.results.statistics import FEWEST_SEEDS, LEVEL, Median, median_of

APART = 0.11
"""Between kinds of run at the same v1, in decades of the axis."""

HOW = (
    "Small: single runs. Lines join the medians; bars, from five seeds on, are their "
    f"{LEVEL * 100:g} % intervals (order statistics). The test sample's own error, common to all "
    "runs, is in the tables. Runs whose task weights are not fixed are a line across."
)


@dataclass(frozen=True, kw_only=True)
class AgainstV1:
    """Rows as in `frame_of`, by label; a panel per quantity."""

    title: str
    quantities: Sequence[Quantity]
    tables: Mapping[str, pd.DataFrame]
    looks: Mapping[str, Look]
    notes: Sequence[str]


def against_v1(
    scan: Scan, tables: Mapping[str, pd.DataFrame], notes: Sequence[str] = ()
) -> AgainstV1:
    """What is to be drawn; raise NothingToDraw for a chain of one task or without test numbers."""
    if scan.runs and len(scan.runs[0].tasks) < 2:
        raise NothingToDraw("the chain has one task, so there is no v1")
    quantities = [
        one for one in scan.quantities.all if any(one.test in table for table in tables.values())
    ]
    if not quantities or not tables:
        raise NothingToDraw("no run has a metric of one number with a direction")
    return AgainstV1(
        title=str(scan.runs[0].result["problem"]),
        quantities=quantities,
        tables=tables,
        looks=looks(list(tables)),
        notes=notes,
    )


def draw_against_v1(data: AgainstV1) -> Drawing:
    """A panel per quantity."""
    with style():
        figure, axes = new_figure(1, len(data.quantities), panel=(4.1, 3.6))
        for axis, quantity in zip(axes[0], data.quantities, strict=True):
            for label, table, shift in _shifted(data):
                _draw_label(axis, _known(table, quantity), quantity, data.looks[label], shift)
            v1_axis(axis)
            axis.set_ylabel(f"test {quantity.label}")
            axis.margins(y=0.08)
        for label, look in data.looks.items():
            axes[0, 0].plot([], [], look.line, marker=look.marker, color=look.colour, label=label)
        columns = legend_columns(figure, list(data.looks))
        frame(figure, axes[0, 0], data.title, data.notes, columns=columns)
    return figure


def interactive_against_v1(data: AgainstV1) -> go.Figure:
    """The same, panels below each other, as a phone is narrow."""
    rows = len(data.quantities)
    figure = make_subplots(rows=rows, cols=1, vertical_spacing=0.28 / rows)
    for row, quantity in enumerate(data.quantities, start=1):
        for label, table, shift in _shifted(data):
            look = data.looks[label]
            place = {"row": row, "col": 1, "legendgroup": label}
            known = _known(table, quantity)
            weighted = known.dropna(subset="v1")
            medians = _medians(weighted, quantity)
            bars = [_bar(one) for _, one in medians]
            figure.add_scatter(
                x=[float(v1_position(v1)) + shift for v1, _ in medians],
                y=[one.median for _, one in medians],
                error_y={
                    "array": [high for _, high in bars],
                    "arrayminus": [low for low, _ in bars],
                    "visible": any(low or high for low, high in bars),
                },
                mode="lines+markers",
                line={"color": look.colour, "dash": look.plotly_line},
                marker={"symbol": look.plotly_marker, "size": 8},
                name=label,
                showlegend=row == 1,
                text=[_words(v1, one) for v1, one in medians],
                hovertemplate=f"{label}<br>%{{text}}<extra></extra>",
                **place,
            )
            figure.add_scatter(
                x=(v1_position(weighted["v1"].to_numpy()) + shift).tolist(),
                y=weighted[quantity.test].tolist(),
                mode="markers",
                marker={"color": look.colour, "symbol": look.plotly_marker, "size": 5},
                opacity=0.6,
                name=label,
                showlegend=False,
                text=[
                    f"{one['chain']}, seed {one['seed']}, v1 = {one['v1']:g}"
                    for one in weighted.to_dict("records")
                ],
                customdata=weighted["key"].tolist(),
                hovertemplate=f"{label}<br>%{{text}}<br>{quantity.label}: %{{y:.4f}}"
                "<br>run %{customdata}<extra></extra>",
                **place,
            )
            across = known.loc[known["v1"].isna(), quantity.test]
            if len(across):
                figure.add_hline(
                    y=float(across.median()),
                    line_color=look.colour,
                    line_dash="dot",
                    row=row,
                    col=1,
                )
        figure.update_xaxes(plotly_v1_axis(), row=row, col=1)
        figure.update_yaxes(title=f"test {quantity.label}", row=row, col=1)
    figure.update_layout(page_layout(data.title, data.notes, height=330 * rows))
    return figure


def _draw_label(
    axis: Axes, table: pd.DataFrame, quantity: Quantity, look: Look, shift: float
) -> None:
    known = table.dropna(subset="v1")
    places = v1_position(known["v1"].to_numpy()) + shift
    axis.plot(
        places,
        known[quantity.test],
        look.marker,
        color=lighter(look.colour, 0.3),
        markersize=2.5,
        mec="none",
        alpha=0.8,
    )
    medians = _medians(known, quantity)
    x = [float(v1_position(v1)) + shift for v1, _ in medians]
    axis.plot(x, [one.median for _, one in medians], look.line, color=look.colour, lw=1.1)
    for place, (_, one) in zip(x, medians, strict=True):
        low, high = _bar(one)
        axis.errorbar(
            place,
            one.median,
            [[low], [high]] if high or low else None,
            marker=look.marker,
            color=look.colour,
            markersize=5,
            capsize=2,
            lw=1.1,
            mec="white",
            mew=0.5,
            zorder=3,
        )
    across = table.loc[table["v1"].isna(), quantity.test]
    if len(across):
        axis.axhline(float(across.median()), color=look.colour, linestyle=look.line, lw=1.1)


def _medians(table: pd.DataFrame, quantity: Quantity) -> list[tuple[float, Median]]:
    rounded = table["v1"].round(9)
    return [
        (float(v1), median_of(part.tolist()))
        for v1, part in table[quantity.test].groupby(rounded, sort=True)
    ]


def _bar(median: Median) -> tuple[float, float]:
    """Lengths of the interval below and above the median; 0 where there is none."""
    if median.low is None or median.high is None:
        return 0.0, 0.0
    return median.median - median.low, median.high - median.median


def _words(v1: float, median: Median) -> str:
    seeds = f"{median.count} run{'s' if median.count > 1 else ''}"
    if median.count < FEWEST_SEEDS or median.low is None:
        return f"v1 = {v1:g}: median {median.median:.4g} of {seeds}"
    return (
        f"v1 = {v1:g}: median {median.median:.4g} of {seeds}, "
        f"{LEVEL * 100:g} %: {median.low:.4g} to {median.high:.4g}"
    )


def _known(table: pd.DataFrame, quantity: Quantity) -> pd.DataFrame:
    """The rows with a number of this quantity."""
    if quantity.test not in table:
        table = table.assign(**{quantity.test: np.nan})
    return table.dropna(subset=quantity.test)


def _shifted(data: AgainstV1) -> Iterator[tuple[str, pd.DataFrame, float]]:
    """Each label with its rows and a shift, so that points at one v1 do not hide each other."""
    apart = min([APART, *(0.7 * gap / len(data.tables) for gap in _gaps(data))])
    for number, (label, table) in enumerate(data.tables.items()):
        yield label, table, (number - (len(data.tables) - 1) / 2) * apart


def _gaps(data: AgainstV1) -> list[float]:
    """Distances of the v1 that stand next to each other."""
    v1 = pd.concat([table["v1"] for table in data.tables.values()]).dropna().unique()
    return [b - a for a, b in pairwise(np.sort(v1_position(v1)).tolist()) if b - a > 1e-6]


def conditions_by_label(scan: Scan) -> dict[str, pd.DataFrame]:
    """The runs that were trained once for a range of v1, at each of its values."""
    table = scan.conditions
    if "parameter/task_weight" not in table:
        return {}
    table = table.dropna(subset="parameter/task_weight")
    return {str(label): part for label, part in table.groupby("label", sort=True)}
