"""Numbers of runs against a parameter, in panels: single trainings and trainings for a range."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import LogFormatter, NullFormatter
from plotly.subplots import make_subplots

from msnas.report.chosen import page_layout
from msnas.report.parameter_axis import ParameterAxis
from msnas.report.style import frame, legend_columns, lighter, new_figure, style
from msnas.results.statistics import LEVEL, Median, median_of

FIXED = "one training for each value"
ONCE = "one training for all values (YOTO)"

BANDS = (
    "Small points: single runs. Large points and lines: medians over seeds; bars and bands, from "
    f"five seeds on, are the {LEVEL * 100:g} % intervals of the medians (order statistics; of five "
    "seeds from the lowest to the highest)."
)


@dataclass(frozen=True, kw_only=True)
class Value:
    """A number of one run at one value of the parameter; `told` is for the page."""

    parameter: float
    number: float
    key: str
    told: str


@dataclass(frozen=True, kw_only=True)
class Series:
    """One quantity of one kind of run: points, or a line (`once`)."""

    label: str
    colour: str
    once: bool
    values: Sequence[Value]

    def medians(self) -> list[tuple[float, Median]]:
        """Of every value of the parameter, in its order."""
        found: dict[float, list[float]] = {}
        for one in self.values:
            found.setdefault(one.parameter, []).append(one.number)
        return [(parameter, median_of(found[parameter])) for parameter in sorted(found)]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Series in one frame; `limits` of its numbers, where not all can be shown."""

    title: str
    label: str
    axis: ParameterAxis
    series: Sequence[Series]
    logarithmic: bool = False
    limits: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Panels:
    """Panels in rows."""

    title: str
    rows: Sequence[Sequence[Panel]]
    notes: Sequence[str]

    @property
    def kinds(self) -> list[bool]:
        """Whether there are single trainings (False), and trainings for a range (True)."""
        return sorted({one.once for panel in self.all for one in panel.series})

    @property
    def all(self) -> list[Panel]:
        """Every panel."""
        return [panel for row in self.rows for panel in row]


def draw_panels(data: Panels, *, panel: tuple[float, float] = (4.1, 3.5)) -> Drawing:
    """Rows below each other."""
    columns = max(map(len, data.rows))
    with style():
        figure, axes = new_figure(len(data.rows), columns, panel=panel)
        for row, places in zip(data.rows, axes, strict=True):
            for one, place in zip(row, places, strict=False):
                _draw(place, one)
            for place in places[len(row) :]:
                place.set_axis_off()
        labels = _legend(axes[0, 0], data)
        frame(figure, axes[0, 0], data.title, data.notes, columns=legend_columns(figure, labels))
    return figure


def interactive_panels(data: Panels) -> go.Figure:
    """The same, all panels below each other, as a phone is narrow."""
    panels = data.all
    count = len(panels)
    figure = make_subplots(
        rows=count,
        cols=1,
        vertical_spacing=min(0.3, 0.36 / count),
        subplot_titles=[panel.title for panel in panels],
    )
    seen: set[str] = set()
    for row, panel in enumerate(panels, start=1):
        for one in sorted(panel.series, key=lambda series: series.once):
            kind = f", {'YOTO' if one.once else 'single'}" if len(data.kinds) > 1 else ""
            name = one.label + kind
            for trace in _traces(one, panel):
                trace.update(legendgroup=name, name=name, showlegend=False)
                figure.add_trace(trace, row=row, col=1)
            figure.data[-1].showlegend = name not in seen
            seen.add(name)
        figure.update_xaxes(panel.axis.page, row=row, col=1)
        figure.update_yaxes(title=panel.label, row=row, col=1)
        if panel.logarithmic:
            figure.update_yaxes(type="log", row=row, col=1)
        elif panel.limits:
            figure.update_yaxes(range=list(panel.limits), row=row, col=1)
    figure.update_annotations(font_size=12)
    figure.update_layout(page_layout(data.title, data.notes, height=340 * count))
    return figure


def _draw(axes: Axes, panel: Panel) -> None:
    points = [one for one in panel.series if not one.once]
    for one in panel.series:
        if one.once:
            _draw_line(axes, one, panel.axis)
    for number, one in enumerate(points):
        _draw_points(axes, one, panel.axis, (number - (len(points) - 1) / 2) * panel.axis.apart)
    if panel.logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(2, 0.5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.margins(y=0.08)
    if panel.limits:
        axes.set_ylim(panel.limits)
    panel.axis.paper(axes)
    axes.set_ylabel(panel.label)
    axes.set_title(panel.title)


def _draw_line(axes: Axes, one: Series, axis: ParameterAxis) -> None:
    """Medians as a line with its band; single runs where there is no band."""
    medians = one.medians()
    places = [axis.position(parameter) for parameter, _ in medians]
    ends = [_ends(median) for _, median in medians]
    low, high = [low for low, _ in ends], [high for _, high in ends]
    axes.fill_between(places, low, high, color=one.colour, alpha=0.18, lw=0, zorder=1)
    axes.plot(places, [median.median for _, median in medians], color=one.colour, lw=1.6, zorder=2)
    if low == high:
        axes.plot(
            [axis.position(value.parameter) for value in one.values],
            [value.number for value in one.values],
            "o",
            color=lighter(one.colour, 0.3),
            markersize=3,
            mfc="none",
            mew=0.6,
            zorder=3,
        )


def _draw_points(axes: Axes, one: Series, axis: ParameterAxis, shift: float) -> None:
    """Medians with their bars, single runs a little to the left of them."""
    medians = one.medians()
    middle = [median.median for _, median in medians]
    ends = [_ends(median) for _, median in medians]
    several = any(median.count > 1 for _, median in medians)
    if several:
        axes.plot(
            [axis.position(value.parameter) + shift - 0.4 * axis.apart for value in one.values],
            [value.number for value in one.values],
            "o",
            color=lighter(one.colour, 0.3),
            markersize=2.5,
            mew=0,
            zorder=3,
        )
    axes.errorbar(
        [axis.position(parameter) + shift for parameter, _ in medians],
        middle,
        [
            [value - low for value, (low, _) in zip(middle, ends, strict=True)],
            [high - value for value, (_, high) in zip(middle, ends, strict=True)],
        ],
        fmt="o",
        color=one.colour,
        markersize=5,
        capsize=2,
        lw=1.1,
        mec="white",
        mew=0.5,
        zorder=4,
    )


def _traces(one: Series, panel: Panel) -> Iterator[go.Scatter]:
    """Band, single runs, medians."""
    medians = one.medians()
    places = [panel.axis.position(parameter) for parameter, _ in medians]
    ends = [_ends(median) for _, median in medians]
    if one.once:
        red, green, blue = (round(255 * part) for part in to_rgb(one.colour))
        yield go.Scatter(
            x=[*places, *places[::-1]],
            y=[*(high for _, high in ends), *(low for low, _ in ends[::-1])],
            fill="toself",
            fillcolor=f"rgba({red},{green},{blue},0.18)",
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
        )
    yield go.Scatter(
        x=[panel.axis.position(value.parameter) for value in one.values],
        y=[value.number for value in one.values],
        mode="markers",
        marker={
            "color": one.colour,
            "size": 5,
            "symbol": "circle-open" if one.once else "circle",
        },
        opacity=0.6,
        text=[value.told for value in one.values],
        customdata=[value.key for value in one.values],
        hovertemplate=f"%{{text}}<br>{one.label}: %{{y:.4f}}<br>run %{{customdata}}<extra></extra>",
    )
    yield go.Scatter(
        x=places,
        y=[median.median for _, median in medians],
        error_y=None
        if one.once
        else {
            "array": [
                high - median.median for (_, high), (_, median) in zip(ends, medians, strict=True)
            ],
            "arrayminus": [
                median.median - low for (low, _), (_, median) in zip(ends, medians, strict=True)
            ],
        },
        mode="lines" if one.once else "markers",
        line={"color": one.colour, "width": 3},
        marker={"color": one.colour, "size": 9},
        text=[
            f"{panel.axis.words(parameter)}: median of {median.count}, {low:.4g} to {high:.4g}"
            for (parameter, median), (low, high) in zip(medians, ends, strict=True)
        ],
        hovertemplate=f"{one.label} %{{y:.4f}}<br>%{{text}}<extra></extra>",
    )


def _ends(median: Median) -> tuple[float, float]:
    """The interval; the median itself where there is none."""
    if median.low is None or median.high is None:
        return median.median, median.median
    return median.low, median.high


def _legend(axes: Axes, data: Panels) -> list[str]:
    """A colour for each quantity; a point and a line for the kinds, if there are both."""
    found = {one.label: one.colour for panel in data.all for one in panel.series}
    labels = list(found)
    for label, colour in found.items():
        axes.plot([], [], "s", color=colour, label=label)
    if len(data.kinds) > 1:
        axes.errorbar([], [], [], fmt="o", color="black", capsize=2, label=FIXED)
        axes.plot([], [], "-", color="black", lw=1.6, label=ONCE)
        labels += [FIXED, ONCE]
    return labels
