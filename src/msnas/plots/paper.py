"""Charts for paper: matplotlib in the style of the field (mplhep), as PNG and PDF.

Figures are made without pyplot, so drawing leaves no global state and needs no screen.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import singledispatch
from pathlib import Path
from typing import Any

import matplotlib as mpl
import mplhep
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from msnas.plots import grammar
from msnas.plots.grammar import Axis, Chart, Layer, Panel, Points
from msnas.plots.labels import placed_words
from msnas.plots.look import lighter

MARKS: Mapping[str, str] = {
    **{"circle": "o", "square": "s", "triangle-up": "^", "diamond": "D"},
    **{"triangle-down": "v", "cross": "P", "x": "X", "star": "*"},
}
LINES: Mapping[str, Any] = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
STROKE = [(-0.5, -1), (0.5, 1)]

SIZES: Any = {
    **dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize"), 10),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize"), 9),
    **{"legend.fontsize": 8.5, "legend.title_fontsize": 11, "axes.linewidth": 0.8},
    **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 5),
    **dict.fromkeys(("xtick.minor.size", "ytick.minor.size"), 2.5),
    **{"xtick.major.pad": 4, "figure.dpi": 160, "pdf.fonttype": 42},
}
"""Sizes for figures as wide as a column of text; the mplhep style is made for 10 inches."""

SMALL = 8
"""Font size of labels in a panel [point]."""

LETTERS = 42
"""Most letters beside a panel's height."""


def save(chart: Chart, stem: Path) -> tuple[Path, Path]:
    """Write `<stem>.png` and `<stem>.pdf`, without a date: the same runs give the same files."""
    paths = stem.with_name(stem.name + ".png"), stem.with_name(stem.name + ".pdf")
    with _style():
        figure = draw(chart)
        # `savefig` would draw all of it once more before each file, to place what is placed
        as_png: Any = FigureCanvasAgg(figure)
        as_png.print_png(paths[0], metadata={"Software": None})
        as_pdf: Any = FigureCanvasPdf(figure)
        as_pdf.print_pdf(paths[1], metadata={"CreationDate": None})
    return paths


def draw(chart: Chart) -> Figure:
    """Draw panels in rows, title and legend above them, notes below, so none covers a point."""
    with _style():
        columns = min(chart.columns, len(chart.panels))
        rows = -(-len(chart.panels) // columns)
        width = max(chart.size[0] * columns, 5.0)
        layout = ConstrainedLayoutEngine(w_pad=0.1)  # the labels of the outer axes stay inside
        figure = Figure(figsize=(width, chart.size[1] * rows), layout=layout)
        FigureCanvasAgg(figure)
        places = list(figure.subplots(rows, columns, squeeze=False).flat)
        for panel, axes in zip(chart.panels, places, strict=False):
            _draw_panel(panel, axes, width / columns)
        for axes in places[len(chart.panels) :]:
            axes.set_axis_off()
        _write_around(figure, chart)
        layout.execute(figure)  # places the axes for good
        figure.set_layout_engine("none")
        for panel, axes in zip(chart.panels, places, strict=False):
            _write_words(panel, axes)
    return figure


@contextmanager
def _style() -> Iterator[None]:
    with mpl.rc_context():
        mpl.rcParams.update(mplhep.style.CMS)
        mpl.rcParams.update(SIZES)
        yield


def _write_around(figure: Figure, chart: Chart) -> None:
    width = figure.get_figwidth()
    title = _folded(chart.title, width * 12)
    if legend := chart.legend():
        texts = [_folded(text, width * 12, lines=1) for text in legend]
        columns = int(width * 13 / (max(map(len, texts)) + 6))
        figure.legend(
            [_handle(layer) for layer in legend.values()],
            texts,
            loc="outside upper center",
            ncols=max(1, min(len(legend), columns)),
            title=title,
        )
    else:
        figure.suptitle(title, fontsize=11)
    notes = textwrap.wrap(" ".join(chart.notes), int(width * 17))
    figure.supxlabel("\n".join(notes), fontsize=7, color="0.3")


def _folded(text: str, letters: float, *, lines: int = 3) -> str:
    """A text folded into at most `lines` lines; a longer text ends with dots."""
    return "\n".join(textwrap.wrap(text, int(letters), max_lines=lines, placeholder=" …"))


def _draw_panel(panel: Panel, axes: Axes, width: float) -> None:
    for order, layer in enumerate(panel.layers, start=1):
        if not isinstance(layer, grammar.Words):
            _draw(layer, axes, panel, {"zorder": order})
    for one in panel.beyond:
        mark: Any = {"marker": MARKS[one.look.marker], "color": one.look.colour, "mec": "white"}
        axes.plot(one.x, one.y, ms=6, mew=0.5, zorder=90, clip_on=False, **mark)
    _set_axis(axes, "x", panel.x, panel.limits("x"))
    _set_axis(axes, "y", panel.y, panel.limits("y"))
    axes.set_title(_folded(panel.title, width * 12))
    entries = {one.entry: _handle(one) for one in panel.layers if one.label}
    if panel.own_legend:
        below: Any = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.18)}
        columns = 2 if max(map(len, entries)) < 32 else 1
        axes.legend(list(entries.values()), list(entries), ncols=columns, **below)


def _set_axis(axes: Axes, side: str, axis: Axis, limits: tuple[float, float]) -> None:
    line = axes.xaxis if side == "x" else axes.yaxis
    name = axis.label if side == "x" else _folded(axis.label, LETTERS, lines=2)
    axes.set(**{f"{side}lim": limits, f"{side}label": name})
    if axis.ticks is not None:
        found = axis.ticks(*limits).items()
        ticks = {at: text for at, text in found if limits[0] <= at <= limits[1]}
        flat = [text.replace("\n", " ") if axis.askew else text for text in ticks.values()]
        line.set_ticks(list(ticks), labels=flat)
        line.set_ticks([], minor=True)
        if axis.place is None:  # names
            line.set_tick_params(which="major", length=0)
    if axis.askew:
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor", rotation=35)
    for at, height, shift in ((at, y, x) for at in axis.breaks for y in (0, 1) for x in (-1, 1)):
        stroke: Any = {"marker": STROKE, "markersize": 7, "color": "black", "mew": 0.8}
        place = axes.get_xaxis_transform()
        axes.plot(at + 0.07 * shift, height, transform=place, clip_on=False, **stroke)


def _handle(layer: Layer) -> Any:
    """The mark that represents a layer in a legend."""
    colour = layer.look.colour
    if isinstance(layer, Points):
        return Line2D([], [], **_marks(layer))
    if isinstance(layer, grammar.Bars | grammar.Violin):
        return Patch(facecolor=colour)
    if isinstance(layer, grammar.Steps) and layer.filled:
        return Patch(facecolor=lighter(colour, 0.55))
    return Line2D([], [], color=colour, linestyle=LINES[layer.look.dash])


def _marks(layer: Points) -> dict[str, Any]:
    colour = layer.look.colour
    border = colour if layer.hollow else "white" if layer.size > 4 else "none"
    return {
        "marker": MARKS[layer.look.marker] if layer.size else "none",
        "markersize": layer.size * (1.7 if layer.look.marker == "star" else 1.0),
        "markerfacecolor": "white" if layer.hollow else colour,
        "markeredgecolor": layer.edge or border,
        "markeredgewidth": 0.8 if layer.hollow or layer.edge else 0.5,
        "color": colour,
        "linestyle": LINES[layer.look.dash] if layer.width else "none",
        "linewidth": layer.width,
        "alpha": layer.opacity,
    }


@singledispatch
def _draw(layer: Layer, _axes: Axes, _panel: Panel, _settings: dict[str, Any]) -> None:
    raise TypeError(type(layer))


@_draw.register
def _points(layer: Points, axes: Axes, panel: Panel, settings: dict[str, Any]) -> None:
    rows = layer.rows
    x = panel.x.positions(rows["x"]) + layer.shift
    y = panel.y.positions(rows["y"])
    bars: dict[str, Any] = {"color": layer.look.colour, "lw": 1.0, "alpha": layer.opacity}
    if "low" in rows:
        low, high = panel.y.positions(rows["low"]), panel.y.positions(rows["high"])
        axes.errorbar(x, y, [y - low, high - y], fmt="none", capsize=2, **bars, **settings)
    if "left" in rows:
        left, right = panel.x.positions(rows["left"]), panel.x.positions(rows["right"])
        axes.hlines(y, left + layer.shift, right + layer.shift, **bars, **settings)
    axes.plot(x, y, **_marks(layer), **settings)


@_draw.register
def _band(layer: grammar.Band, axes: Axes, panel: Panel, settings: dict[str, Any]) -> None:
    low, high = (panel.y.positions(layer.rows[name]) for name in ("low", "high"))
    x = panel.x.positions(layer.rows["x"])
    axes.fill_between(x, low, high, color=layer.look.colour, alpha=0.18, lw=0, **settings)


@_draw.register
def _steps(layer: grammar.Steps, axes: Axes, _: Panel, settings: dict[str, Any]) -> None:
    rows, colour = layer.rows, layer.look.colour
    edges = [*rows["left"], rows["right"].iloc[-1]]
    if layer.filled:
        axes.stairs(rows["y"], edges, fill=True, color=lighter(colour, 0.55), **settings)
    line = "none" if layer.filled else LINES[layer.look.dash]
    error = rows["error"].to_numpy() if layer.bars else None
    look: dict[str, Any] = {"color": colour, "linestyle": line, "linewidth": 1.2, **settings}
    mplhep.histplot(rows["y"].to_numpy(), edges, yerr=error, ax=axes, flow=None, **look)


@_draw.register
def _violin(layer: grammar.Violin, axes: Axes, panel: Panel, settings: dict[str, Any]) -> None:
    values, x = panel.y.positions(layer.rows["y"]), layer.rows["x"].iloc[0]
    colour = layer.look.colour
    if layer.body and np.ptp(values) > 0:
        parts: Any = axes.violinplot(values, [x], widths=layer.width * 0.95, showextrema=False)
        fill = {"facecolor": lighter(colour, 0.55), "edgecolor": colour}
        parts["bodies"][0].set(alpha=1, linewidth=0.8, **fill, **settings)
    lines = np.quantile(values, (0, 0.25, 0.5, 0.75, 1) if layer.body else [0.5])
    half = np.array((0.2, 0.3, 0.42, 0.3, 0.2) if layer.body else [0.42]) * layer.width
    axes.hlines(lines, x - half, x + half, color=colour, lw=1.2, **settings)


@_draw.register
def _bars(layer: grammar.Bars, axes: Axes, panel: Panel, settings: dict[str, Any]) -> None:
    rows, x = layer.rows, panel.x.positions(layer.rows["x"])
    look: Any = {"color": layer.look.colour, "edgecolor": "white", "linewidth": 0.5, **settings}
    axes.bar(x, rows["y"] - rows["base"], 0.8, bottom=rows["base"], **look)


@_draw.register
def _rule(layer: grammar.Rule, axes: Axes, panel: Panel, settings: dict[str, Any]) -> None:
    line = {"color": layer.look.colour, "ls": LINES[layer.look.dash], "lw": layer.width}
    for name, axis, across in (("x", panel.x, axes.axvline), ("y", panel.y, axes.axhline)):
        for at in axis.positions(layer.rows[name]) if name in layer.rows else ():
            across(float(at), **line, **settings)


@_draw.register
def _image(layer: grammar.Image, axes: Axes, _: Panel, settings: dict[str, Any]) -> None:
    pixels, (low, high) = layer.pixels(), layer.scale
    shown = np.ma.masked_less(pixels.to_numpy(), low)
    look: Any = {"norm": LogNorm(low, high), "cmap": "viridis", "rasterized": True, **settings}
    drawn = axes.pcolormesh(pixels.columns, pixels.index, shown, shading="nearest", **look)
    axes.set_aspect("equal")
    if layer.bar:
        figure: Any = axes.get_figure()
        figure.colorbar(drawn, ax=axes, label=layer.unit, pad=0.02, shrink=0.85)


def _write_words(panel: Panel, axes: Axes) -> None:
    """Write the labels of a panel and the values of marks beyond its axes."""
    figure: Any = axes.get_figure()
    frame, point = axes.get_window_extent(), 72 / figure.dpi
    middle: Any = {"ha": "center", "va": "center", "fontsize": SMALL, "zorder": 99}
    for one in placed_words(panel, (frame.width * point, frame.height * point), size=SMALL):
        place: Any = {"xytext": one.away, "textcoords": "offset points", "color": one.colour}
        axes.annotate(one.text, (one.x, one.y), **place, **middle)
