"""One task's metric against the other's: fixed weights, and weightings that choose themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from msnas.report.beside import Word, write_beside
from msnas.report.chosen import page_layout
from msnas.report.figure import Figure, NothingToDraw
from msnas.report.frame import relabelled
from msnas.report.plane import Place, Series, limits_of, places_of
from msnas.report.quantities import Quantity
from msnas.report.scan import Scan
from msnas.report.style import (
    COLOURS,
    MARKERS,
    PLOTLY_MARKERS,
    chain_colours,
    frame,
    legend_columns,
    lighter,
    looks,
    new_figure,
    style,
)
from msnas.report.two_tasks import (
    WEIGHTS,
    TwoTasks,
    fixed_weight,
    over_weights,
    two_tasks,
    weighting_of,
)

MOST = 9
"""Series that one figure can tell apart."""

FRONT = "fixed weights"
ONCE = "YOTO"


@dataclass(frozen=True, kw_only=True)
class Plane:
    """All series; `limits` of both axes, where not everything can be shown."""

    title: str
    tasks: TwoTasks
    series: Sequence[Series]
    limits: tuple[tuple[float, float] | None, tuple[float, float] | None]
    notes: Sequence[str]


@final
class Pareto(Figure[Plane]):
    """The plane of both tasks' metrics."""

    name: ClassVar[str] = "pareto"
    title: ClassVar[str] = "One task against the other: fixed weights and other weightings"
    caption: ClassVar[str] = (
        "The test metrics of both supervised tasks. Large markers are medians over seeds, joined "
        "along the weight of the first task where that is fixed (some are labelled with it) or "
        "chosen after one training (YOTO); weightings that find the weights by themselves have one "
        "marker each. Thin lines go from the lowest to the highest of the seeds."
    )

    def data(self, scan: Scan) -> Plane:
        """Runs by method, its settings and the way of weighting."""
        tasks = two_tasks(scan.runs)
        labels = relabelled(scan.table, scan.runs, without=WEIGHTS)
        several = labels.nunique() > 1
        found: dict[tuple[str, bool], list[Place]] = {}
        for run, label in zip(scan.runs, labels, strict=True):
            if over_weights(run):
                kind, joined = ONCE, True
            elif fixed_weight(run) is not None:
                kind, joined = FRONT, True
            else:
                kind, joined = weighting_of(run), False
            name = f"{label}, {kind}" if several else kind
            found.setdefault((name, joined), []).extend(places_of(run, tasks))
        series = [
            Series(label=label, joined=joined, places=places)
            for (label, joined), places in sorted(
                found.items(),
                key=lambda item: (not item[0][1], not item[0][0].endswith(FRONT), item[0][0]),
            )
            if places and not (joined and len({one.weight for one in places}) < 2)
        ]
        if not series or (len(series) == 1 and not series[0].joined):
            raise NothingToDraw("no two weights of the tasks and no two weightings")
        notes = []
        if len(series) > MOST + 2:
            left = ", ".join(one.label for one in series[MOST + 2 :])
            notes.append(f"Not shown: {left}.")
            series = series[: MOST + 2]
        limits, beyond = limits_of(series, tasks)
        return Plane(
            title=str(scan.runs[0].result["problem"]),
            tasks=tasks,
            series=series,
            limits=limits,
            notes=[*notes, *beyond],
        )

    def draw(self, data: Plane) -> Drawing:
        """One panel."""
        with style():
            figure, axes = new_figure(1, 1, panel=(6.4, 4.8))
            axis = axes[0, 0]
            for one, colour, marker in _looks(data.series):
                _draw(axis, one, colour, MARKERS[marker])
            axis.set_xlabel(_axis_label(data.tasks.first))
            axis.set_ylabel(_axis_label(data.tasks.last))
            axis.margins(0.06)
            for limits, set_limits in zip(data.limits, (axis.set_xlim, axis.set_ylim), strict=True):
                if limits:
                    set_limits(limits)
            write_beside(axis, _words(_looks(data.series)))
            columns = legend_columns(figure, [one.label for one in data.series])
            frame(figure, axis, data.title, data.notes, columns=columns)
        return figure

    def interactive(self, data: Plane) -> go.Figure:
        """The same."""
        figure = go.Figure()
        for one, colour, marker in _looks(data.series):
            symbol = PLOTLY_MARKERS[marker]
            figure.add_scatter(
                x=[place.first for place in one.places],
                y=[place.last for place in one.places],
                mode="markers",
                marker={"color": colour, "size": 6, "symbol": symbol},
                opacity=0.5,
                name=one.label,
                legendgroup=one.label,
                showlegend=False,
                text=[place.told for place in one.places],
                customdata=[place.key for place in one.places],
                hovertemplate=f"{one.label}, %{{text}}<br>%{{x:.4f}}, %{{y:.4f}}"
                "<br>run %{customdata}<extra></extra>",
            )
            medians = one.medians()
            figure.add_scatter(
                x=[place.first for place in medians],
                y=[place.last for place in medians],
                mode="lines+markers" if one.joined else "markers",
                line={"color": colour},
                marker={"color": colour, "size": 11, "symbol": symbol},
                name=one.label,
                legendgroup=one.label,
                text=[
                    place.told + ("" if place.weight is None else f" at weight {place.weight:g}")
                    for place in medians
                ],
                hovertemplate=f"{one.label}, %{{text}}<br>%{{x:.4f}}, %{{y:.4f}}<extra></extra>",
            )
        first, last = data.limits
        figure.update_xaxes(
            title=_axis_label(data.tasks.first), **({"range": list(first)} if first else {})
        )
        figure.update_yaxes(
            title=_axis_label(data.tasks.last), **({"range": list(last)} if last else {})
        )
        figure.update_layout(page_layout(data.title, data.notes, height=460))
        return figure


def _looks(series: Sequence[Series]) -> list[tuple[Series, str, int]]:
    """Colour and number of the marker: a method's own, or black for the front of the only one."""
    labels = [one.label for one in series]
    known = looks(labels)
    if FRONT not in labels and len({label.split(" ")[0] for label in labels}) > 1:
        colours = {label: known[label].colour for label in labels}
    else:
        others = chain_colours([label for label in labels if label != FRONT])
        colours = {FRONT: COLOURS["black"], **others}
    return [(one, colours[one.label], number % len(MARKERS)) for number, one in enumerate(series)]


def _draw(axis: Axes, one: Series, colour: str, marker: str) -> None:
    """Medians; thin lines from the lowest to the highest of their runs."""
    medians = one.medians()
    for median in medians:
        own = [place for place in one.places if place.weight == median.weight]
        first, last = ([getattr(place, name) for place in own] for name in ("first", "last"))
        axis.hlines(median.last, min(first), max(first), color=lighter(colour, 0.5), lw=0.7)
        axis.vlines(median.first, min(last), max(last), color=lighter(colour, 0.5), lw=0.7)
    axis.plot(
        [place.first for place in medians],
        [place.last for place in medians],
        linestyle="-" if one.joined else "none",
        marker=marker,
        color=colour,
        markersize=5 if one.joined else 8,
        lw=1.3,
        mec="white",
        mew=0.6,
        zorder=3 if one.joined else 4,
        label=one.label,
    )


def _words(series: Sequence[tuple[Series, str, int]]) -> list[Word]:
    """The weights, of every series the ends first."""
    found = []
    for one, colour, _ in series:
        medians = [place for place in one.medians() if place.weight is not None]
        found += [
            Word(x=place.first, y=place.last, text=f"{place.weight:g}", colour=colour)
            for place in [*medians[:1], *medians[-1:], *medians[1:-1]]
        ]
    return found


def _axis_label(quantity: Quantity) -> str:
    better = "higher" if quantity.higher_is_better else "lower"
    return f"test {quantity.label} ({better} is better)"
