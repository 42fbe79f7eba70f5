"""Values of many runs side by side: a violin from five runs on, below that the runs themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from msnas.report.chosen import page_layout
from msnas.report.style import frame, lighter, new_figure, style
from msnas.results.statistics import FEWEST_SEEDS

QUANTILES = (0, 0.25, 0.5, 0.75, 1)

WIDTH = 0.8
"""Of all violins of a column together."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One run: its key, its value, and the words that tell it on the page."""

    key: str
    value: float
    told: str


@dataclass(frozen=True, kw_only=True)
class Violins:
    """Runs by column (on the x axis) and kind (side by side, each with a colour)."""

    title: str
    label: str
    columns: Sequence[str]
    colours: Mapping[str, str]
    points: Mapping[tuple[str, str], Sequence[Point]]
    notes: Sequence[str]


def draw_violins(data: Violins) -> Drawing:
    """Violins with lines at the quantiles 0, 1/4, 1/2, 3/4, 1; the runs on top."""
    with style():
        width = max(5.0, 1.2 + 0.85 * len(data.columns))
        figure, axes = new_figure(1, 1, panel=(width, 4.2))
        axis = axes[0, 0]
        for (_, kind), place, points in _placed(data):
            _draw_one(axis, points, place, _size(data), data.colours[kind])
        for kind in _kinds(data):
            axis.plot([], [], "s", color=data.colours[kind], label=kind)
        long = max(map(len, data.columns)) > 9
        axis.set_xticks(
            range(len(data.columns)),
            [name.replace(" ", "\n") if not long else name for name in data.columns],
            rotation=30 if long else 0,
            ha="right" if long else "center",
            rotation_mode="anchor" if long else "default",
        )
        axis.tick_params(axis="x", which="minor", bottom=False, top=False)
        axis.tick_params(axis="x", which="major", top=False)
        axis.set(ylabel=data.label, xlim=(-0.6, len(data.columns) - 0.4))
        axis.margins(y=0.08)
        for edge in range(len(data.columns) - 1):
            axis.axvline(edge + 0.5, color="0.85", linewidth=0.6, zorder=0)
        frame(figure, axis, data.title, data.notes, columns=len(data.colours))
    return figure


def interactive_violins(data: Violins) -> go.Figure:
    """The same for the page."""
    figure = go.Figure()
    for (column, kind), place, points in _placed(data):
        values = [one.value for one in points]
        if len(points) >= FEWEST_SEEDS:
            figure.add_violin(
                x=[place] * len(points),
                y=values,
                width=_size(data),
                points=False,
                box_visible=True,
                spanmode="hard",
                line_color=data.colours[kind],
                legendgroup=kind,
                showlegend=False,
                name=f"{column}, {kind}",
                hoverinfo="skip",
            )
        else:
            figure.add_scatter(
                x=[place - _size(data) / 3, place + _size(data) / 3],
                y=[float(np.median(values))] * 2,
                mode="lines",
                line_color=data.colours[kind],
                legendgroup=kind,
                showlegend=False,
                hovertemplate="median %{y:.4g}<extra></extra>",
            )
        figure.add_scatter(
            x=_jitter(len(points), place, _size(data)).tolist(),
            y=values,
            mode="markers",
            marker={"color": data.colours[kind], "size": 7, "line": {"width": 0.5}},
            legendgroup=kind,
            showlegend=False,
            text=[one.told for one in points],
            customdata=[one.key for one in points],
            hovertemplate=f"{column}, {kind}<br>%{{text}}<br>{data.label}: %{{y:.4f}}"
            "<br>run %{customdata}<extra></extra>",
        )
    for kind in _kinds(data):
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            marker={"color": data.colours[kind], "size": 9},
            legendgroup=kind,
            name=kind,
        )
    figure.update_xaxes(
        tickvals=list(range(len(data.columns))),
        ticktext=list(data.columns),
        range=[-0.6, len(data.columns) - 0.4],
        zeroline=False,
    )
    figure.update_yaxes(title=data.label)
    figure.update_layout(page_layout(data.title, data.notes, height=360))
    return figure


def _draw_one(axis: Axes, points: Sequence[Point], place: float, width: float, colour: str) -> None:
    values = np.array([one.value for one in points])
    if len(values) >= FEWEST_SEEDS and np.ptp(values) > 0:
        parts: Any = axis.violinplot(values, [place], widths=width * 0.95, showextrema=False)
        body = parts["bodies"][0]
        body.set(facecolor=lighter(colour, 0.55), edgecolor=colour, alpha=1, linewidth=0.8)
        lines = np.quantile(values, QUANTILES)
        lengths = [0.2, 0.3, 0.42, 0.3, 0.2]
    else:
        lines, lengths = np.array([np.median(values)]), [0.35]
    for value, length in zip(lines, lengths, strict=True):
        axis.hlines(value, place - length * width, place + length * width, color=colour, lw=1.2)
    places = _jitter(len(values), place, width)
    axis.plot(places, values, "o", color=colour, markersize=3, mec="white", mew=0.4, zorder=3)


def _jitter(count: int, place: float, width: float) -> np.ndarray:
    """Places of the runs, spread in their order so that equal values can be told apart."""
    shift = (np.arange(count) * 0.618034) % 1 - 0.5
    return place + (shift * 0.3 * width if count > 1 else np.zeros(count))


def _kinds(data: Violins) -> list[str]:
    return [kind for kind in data.colours if any(one == kind for _, one in data.points)]


def _size(data: Violins) -> float:
    return min(WIDTH / max(len(_kinds(data)), 1), 0.5)


def _placed(data: Violins) -> list[tuple[tuple[str, str], float, Sequence[Point]]]:
    """Every group with points and the middle of its place on the x axis."""
    kinds = _kinds(data)
    return [
        (
            (column, kind),
            number + (kinds.index(kind) - (len(kinds) - 1) / 2) * _size(data),
            data.points[column, kind],
        )
        for number, column in enumerate(data.columns)
        for kind in kinds
        if data.points.get((column, kind))
    ]
