"""One task's metric against the other's: fixed weights, and weightings that choose themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from msnas.report.chosen import number_of_runs, page_layout
from msnas.report.collect import FinishedRun
from msnas.report.figure import Figure, NothingToDraw
from msnas.report.frame import relabelled
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
    new_figure,
    style,
)
from msnas.report.two_tasks import (
    TASK_WEIGHT,
    WEIGHTS,
    TwoTasks,
    fixed_weight,
    over_weights,
    two_tasks,
    weighting_of,
)

MOST = 9
"""Series that one figure can tell apart."""

LONGEST = 2.0
"""If untrained tasks at weight 0 or 1 make an axis longer than this, the axis leaves them out."""

FRONT = "fixed weights"
ONCE = "YOTO"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Both test numbers of a run; `weight` of the first task, None if it is no fixed one."""

    first: float
    last: float
    weight: float | None
    key: str
    told: str


@dataclass(frozen=True, kw_only=True)
class Series:
    """Runs of one kind; those with weights are joined."""

    label: str
    joined: bool
    places: Sequence[Place]

    def medians(self) -> list[Place]:
        """Median of both numbers at each weight, in the order of the weights."""
        groups: dict[float | None, list[Place]] = {}
        for one in self.places:
            groups.setdefault(one.weight, []).append(one)
        return [
            Place(
                first=float(np.median([one.first for one in groups[weight]])),
                last=float(np.median([one.last for one in groups[weight]])),
                weight=weight,
                key="",
                told=f"median of {number_of_runs(len(groups[weight]))}",
            )
            for weight in sorted(groups, key=lambda weight: -1.0 if weight is None else weight)
        ]


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
        "marker each. Small markers, tied to their median, are single runs: the spread over seeds. "
        "The corner of best values is marked."
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
            found.setdefault((name, joined), []).extend(_places(run, tasks))
        series = [
            Series(label=label, joined=joined, places=places)
            for (label, joined), places in sorted(
                found.items(), key=lambda item: (not item[0][1], item[0][0])
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
        limits, beyond = _limits(series, tasks)
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
            _mark_best(axis, data.tasks)
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


def _places(run: FinishedRun, tasks: TwoTasks) -> list[Place]:
    numbers = [
        (float(one["parameters"][TASK_WEIGHT]), tasks.of(one["test"])) for one in over_weights(run)
    ] or [(fixed_weight(run), tasks.of(run.result["metrics"].get("test", {})))]
    return [
        Place(
            first=both[0],
            last=both[1],
            weight=None if weight is None else round(weight, 9),
            key=str(run.result["key"]),
            told=f"seed {run.seed}" + ("" if weight is None else f", weight {weight:g}"),
        )
        for weight, both in numbers
        if both is not None
    ]


def _limits(
    series: Sequence[Series], tasks: TwoTasks
) -> tuple[tuple[tuple[float, float] | None, tuple[float, float] | None], list[str]]:
    """Limits without the runs in which one task has no weight, if those flatten the rest."""
    everything = [place for one in series for place in one.places]
    inner = [place for place in everything if place.weight not in (0.0, 1.0)]
    found: list[tuple[float, float] | None] = []
    for name in ("first", "last"):
        own = [getattr(place, name) for place in inner]
        whole = [getattr(place, name) for place in everything]
        limits = None
        if len(own) > 1:
            low, high = min(own), max(own)
            margin = 0.08 * (high - low)
            if max(whole) - min(whole) > LONGEST * (high - low) > 0:
                limits = (low - margin, high + margin)
        found.append(limits)
    notes = []
    first, last = found
    for one in series:
        out = [
            place
            for place in one.medians()
            if _outside(place.first, first) or _outside(place.last, last)
        ]
        for place in out:
            notes.append(
                f"Beyond the axes: {one.label} at {place.weight:g} "
                f"({tasks.first.label} {place.first:.3g}, {tasks.last.label} {place.last:.3g})."
            )
    return (first, last), notes


def _outside(value: float, limits: tuple[float, float] | None) -> bool:
    return limits is not None and not limits[0] <= value <= limits[1]


def _looks(series: Sequence[Series]) -> list[tuple[Series, str, int]]:
    """Colour and number of the marker; the first front is black."""
    others = [one.label for one in series[1:]] if series[0].joined else [s.label for s in series]
    colours = chain_colours(others)
    return [
        (one, colours.get(one.label, COLOURS["black"]), number % len(MARKERS))
        for number, one in enumerate(series)
    ]


def _draw(axis: Axes, one: Series, colour: str, marker: str) -> None:
    medians = {place.weight: place for place in one.medians()}
    for place in one.places:
        middle = medians[place.weight]
        axis.plot(
            [middle.first, place.first],
            [middle.last, place.last],
            color=lighter(colour, 0.6),
            lw=0.6,
            zorder=1,
        )
    axis.plot(
        [place.first for place in one.places],
        [place.last for place in one.places],
        marker,
        color=lighter(colour, 0.4),
        markersize=2.5,
        mew=0,
        zorder=2,
    )
    axis.plot(
        [place.first for place in medians.values()],
        [place.last for place in medians.values()],
        "-" if one.joined else "",
        marker=marker,
        color=colour,
        markersize=5 if one.joined else 8,
        lw=1.3,
        mec="white",
        mew=0.6,
        zorder=3 if one.joined else 4,
        label=one.label,
    )
    weights = [weight for weight in medians if weight is not None]
    for weight in weights:
        if len(weights) > 6 and weight not in (min(weights), max(weights), 0.1, 0.5, 0.9):
            continue
        axis.annotate(
            f"{weight:g}",
            (medians[weight].first, medians[weight].last),
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=8,
            color=colour,
            annotation_clip=True,
            clip_on=True,
            zorder=5,
        )


def _mark_best(axis: Axes, tasks: TwoTasks) -> None:
    """A star in the corner where both are best."""
    x = 1 if tasks.first.higher_is_better else 0
    y = 1 if tasks.last.higher_is_better else 0
    axis.annotate(
        "better",
        (x, y),
        xycoords="axes fraction",
        xytext=(-26 if x else 26, -24 if y else 24),
        textcoords="offset points",
        ha="right" if x else "left",
        va="top" if y else "bottom",
        fontsize=8.5,
        color="0.4",
        arrowprops={"arrowstyle": "->", "color": "0.4"},
    )


def _axis_label(quantity: Quantity) -> str:
    better = "higher" if quantity.higher_is_better else "lower"
    return f"test {quantity.label} ({better} is better)"
