"""Charts for the HTML page: figures for the page's own copy of plotly.js, as plain values.

They are made without plotly's Python classes, which check each value: tests do that.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from functools import singledispatch
from typing import Any

import numpy as np
import pandas as pd

from msnas.plots import grammar
from msnas.plots.grammar import Axis, Chart, Layer, Panel, Points
from msnas.plots.labels import placed_words
from msnas.plots.look import lighter

GREEK = {
    **{"alpha": "\u03b1", "beta": "\u03b2", "gamma": "\u03b3", "theta": "\u03b8"},
    **{"Delta": "\u0394", "eta": "\u03b7", "phi": "\u03c6"},
}

HEIGHT = 330
"""Height of a panel with its title and axis [pixel]."""

NARROW = 320.0, 250.0
"""Size of the axes on a phone [pixel]: labels that have room there have room everywhere."""

LINE = 54
"""Characters in a line of a title, as many as a phone can show."""

HEADING: Mapping[str, Any] = {
    **{"xref": "paper", "yref": "paper", "xanchor": "center", "yanchor": "bottom"},
    **{"showarrow": False, "font": {"size": 12}},
}
"""Of a panel's title: above its axes, in the middle."""

LINE_OF: Mapping[str, Any] = {"type": "scatter", "mode": "lines"}
"""What makes a trace a line."""

Trace = dict[str, Any]


def interactive(chart: Chart) -> dict[str, Any]:
    """`data` and `layout`; hovering shows a point's run, `customdata` holds the run's key."""
    columns = min(chart.page_columns, len(chart.panels))
    rows = -(-len(chart.panels) // columns)
    titles = [_title(panel) for panel in chart.panels]
    # titles of several lines and names below an axis need extra height
    extra = 14 * max(title.count("<br>") for title in titles)
    ticks = [one.x.ticks(*one.limits("x")) for one in chart.panels if one.x.ticks]
    extra += 16 * any("\n" in text for of_panel in ticks for text in of_panel.values())
    height = (HEIGHT + extra) * rows
    across = _domains(columns, 0.16 / columns)
    up = _domains(rows, (90 + extra) / height)[::-1]
    listed: set[str] = set()
    data: list[Trace] = []
    axes: dict[str, Any] = {}
    headings, words = [], []
    for number, (panel, title) in enumerate(zip(chart.panels, titles, strict=True)):
        axis = str(number + 1) if number else ""
        on = {"xaxis": f"x{axis}", "yaxis": f"y{axis}"}
        x, y = across[number % columns], up[number // columns]
        for trace in _traces(panel, listed):
            if "colorbar" in trace:  # it is as high as its panel
                trace["colorbar"] |= {"y": sum(y) / 2, "len": y[1] - y[0]}
            data.append({**trace, **on})
        if title:
            headings.append({**HEADING, "text": title, "x": sum(x) / 2, "y": y[1]})
        for one in placed_words(panel, NARROW, size=10):
            shift = {"xshift": one.away[0], "yshift": one.away[1], "showarrow": False}
            font = {"color": one.colour, "size": 10}
            at = {"x": one.x, "y": one.y, "xref": on["xaxis"], "yref": on["yaxis"]}
            words.append({**at, "text": rich(one.text), "font": font, "name": "words", **shift})
        beside = {"anchor": on["yaxis"], "domain": list(x)}
        axes[f"xaxis{axis}"] = {**beside, **_axis(panel.x, panel.limits("x"))}
        beside = {"anchor": on["xaxis"], "domain": list(y)}
        axes[f"yaxis{axis}"] = {**beside, **_axis(panel.y, panel.limits("y"))}
    top = 80 + extra
    layout = {
        **axes,
        "annotations": [*headings, *words],
        "barmode": "overlay",
        "title": {
            "text": "<br>".join(textwrap.wrap(rich(chart.title), LINE - 14)),
            "font": {"size": 15},
            **{"yref": "container", "y": 1, "yanchor": "top", "pad": {"t": 12}},
            **{"x": 0.02, "xanchor": "left"},  # plotly's buttons are on the right
        },
        "height": height + top + 100,
        "margin": {"t": top, "b": 100, "l": 60, "r": 20},
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"},
    }
    return {"data": _known(data), "layout": _known(layout)}


def _domains(count: int, gap: float) -> list[tuple[float, float]]:
    """Ends of so many parts of the whole from 0 to 1, with gaps between them."""
    width = (1 - gap * (count - 1)) / count
    return [(place * (width + gap), place * (width + gap) + width) for place in range(count)]


def _known(value: Any) -> Any:
    """Without names that have no value; numbers in lists, and of runs in `meta`, may have none."""
    if isinstance(value, dict):
        known = {name: one for name, one in value.items() if one is not None}
        return {name: one if name == "meta" else _known(one) for name, one in known.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [_known(one) for one in value]
    return value


def rich(text: str) -> str:
    r"""A text with `$...$` as plotly writes it.

    >>> rich(r"$v_1$ and $10^{-4}$ or $1-\beta$")
    'v<sub>1</sub> and 10<sup>-4</sup> or 1-β'
    """

    def of_formula(found: re.Match[str]) -> str:
        inner = re.sub(r"\\([A-Za-z]+)\s*", lambda name: GREEK[name[1]], found[1])
        inner = re.sub(r"\^(?:\{([^}]*)\}|(.))", r"<sup>\1\2</sup>", inner)
        return re.sub(r"_(?:\{([^}]*)\}|(.))", r"<sub>\1\2</sub>", inner)

    return re.sub(r"\$([^$]*)\$", of_formula, text).replace("\n", "<br>")


def _title(panel: Panel) -> str:
    """The panel's title, with the words of its own legend: the page has one legend for all."""
    told = "; ".join(one.entry for one in panel.layers if one.words and panel.own_legend)
    small = [f"<span style='font-size:10px'>{line}</span>" for line in textwrap.wrap(told, LINE)]
    return rich("<br>".join([*textwrap.wrap(panel.title, LINE), *small]))


def _axis(axis: Axis, limits: tuple[float, float]) -> dict[str, Any]:
    ticks = None if axis.ticks is None else axis.ticks(*limits)
    return {
        "title": {"text": "<br>".join(textwrap.wrap(rich(axis.label), LINE - 10))},
        "range": list(limits),
        "zeroline": False,
        "tickvals": None if ticks is None else list(ticks),
        "ticktext": None if ticks is None else list(map(rich, ticks.values())),
    }


def _traces(panel: Panel, listed: set[str]) -> list[Trace]:
    """Traces of all layers, in the legend if their name is new, and of marks beyond the axes."""
    found: list[Trace] = []
    for layer in panel.layers:
        if isinstance(layer, grammar.Words):  # annotations, not traces
            continue
        name = rich(layer.label if panel.own_legend else layer.entry)
        for trace in _draw(layer, panel):
            shown = {"legendgroup": name, "showlegend": bool(name) and name not in listed}
            listed.add(name)
            found.append({**trace, "name": name, **shown})
    for one in panel.beyond:
        mark = {"color": one.look.colour, "symbol": one.look.marker, "size": 9}
        told = f"beyond the axis: {one.text}<extra></extra>"
        at = {"x": [one.x], "y": [one.y], "mode": "markers", "marker": mark, "cliponaxis": False}
        shown = {"hovertemplate": told, "showlegend": False, "meta": {"all": True}}
        found.append({"type": "scatter", **at, **shown})
    return found


@singledispatch
def _draw(layer: Layer, _: Panel) -> Iterable[Trace]:
    raise TypeError(type(layer))


@_draw.register
def _points(layer: Points, panel: Panel) -> Iterable[Any]:
    rows, colour = layer.rows, layer.look.colour
    x, y = panel.x.positions(rows["x"]) + layer.shift, panel.y.positions(rows["y"])
    drawn = ["lines"] * bool(layer.width) + ["markers"] * bool(layer.size)
    trace = {
        "type": "scatter",
        "x": _short(x),
        "y": _short(y),
        "mode": "+".join(drawn) or "markers",
        "opacity": layer.opacity,
        "line": {"color": colour, "width": 1.5 * layer.width, "dash": layer.look.dash},
        "marker": {
            "color": colour,
            "size": 1.6 * layer.size,
            "symbol": layer.look.marker + ("-open" if layer.hollow else ""),
            "line": {"width": 1, "color": layer.edge} if layer.edge else None,
        },
        **_hover(layer, *_numbers(panel, rows)),
        "meta": _meta(panel, rows),
    }
    if "low" in rows:
        low, high = panel.y.positions(rows["low"]), panel.y.positions(rows["high"])
        trace["error_y"] = {"array": _short(high - y), "arrayminus": _short(y - low), "width": 3}
    if "left" in rows:
        left, right = (panel.x.positions(rows[name]) + layer.shift for name in ("left", "right"))
        ends = {"array": _short(right - x), "arrayminus": _short(x - left)}
        trace["error_x"] = {**ends, "width": 0}
    return [trace]


@_draw.register
def _band(layer: grammar.Band, panel: Panel) -> Iterable[Any]:
    x = _short(panel.x.positions(layer.rows["x"]))
    low, high = (_short(panel.y.positions(layer.rows[name])) for name in ("low", "high"))
    yield {
        **LINE_OF,
        **{"x": x + x[::-1], "y": high + low[::-1], "line": {"width": 0}},
        **{"fill": "toself", "fillcolor": _clear(layer.look.colour, 0.18), "hoverinfo": "skip"},
        "meta": _meta(panel, layer.rows),
    }


@_draw.register
def _steps(layer: grammar.Steps, _: Panel) -> Iterable[Any]:
    last = layer.rows.iloc[-1:]
    rows = layer.rows.assign(x=layer.rows["left"])
    rows = rows.iloc[[*range(len(rows)), -1]].assign(x=[*rows["left"], *last["right"]])
    texts = [f"{x:.4g}: {y:.3g} ± {e:.2g}" for x, y, e in rows[["x", "y", "error"]].to_numpy()]
    line = {"color": layer.look.colour, "dash": layer.look.dash, "shape": "hv", "width": 1.5}
    fill = {"fill": "tozeroy", "fillcolor": _clear(layer.look.colour, 0.4)} if layer.filled else {}
    at = {"x": _short(rows["x"]), "y": _short(rows["y"]), "line": line}
    yield {**LINE_OF, **at, **fill, **_hover(layer, "from", texts, rows)}


@_draw.register
def _violin(layer: grammar.Violin, panel: Panel) -> Iterable[Any]:
    x, y, colour = layer.rows["x"], panel.y.positions(layer.rows["y"]), layer.look.colour
    if layer.body:
        look = {"line": {"color": colour}, "fillcolor": lighter(colour, 0.55), "hoverinfo": "skip"}
        kind = {"points": False, "box": {"visible": True}, "spanmode": "hard"}
        keys = list(layer.rows["key"]) if "key" in layer.rows else None
        at = {"x": _short(x), "y": _short(y), "width": layer.width, "customdata": keys}
        yield {"type": "violin", **at, **kind, **look}
    else:
        ends = x.iloc[0] + 0.42 * layer.width * np.array([-1, 1])
        of = dict(zip(layer.rows.get("key", ()), _short(y), strict=False))
        yield {
            **LINE_OF,
            **{"x": _short(ends), "y": _short([np.median(y)] * 2), "line": {"color": colour}},
            "hovertemplate": "median %{y:.4g}<extra></extra>",
            "meta": {"of": [of, of]} if of else None,
        }


@_draw.register
def _bars(layer: grammar.Bars, panel: Panel) -> Iterable[Any]:
    rows = layer.rows
    yield {
        "type": "bar",
        "x": _short(panel.x.positions(rows["x"])),
        "y": _short(rows["y"] - rows["base"]),
        "base": _short(rows["base"]),
        "width": 0.8,
        "marker": {"color": layer.look.colour, "line": {"width": 0}},
        "textposition": "none",
        **_hover(layer, "", [""] * len(rows)),
        "meta": _meta(panel, rows),
    }


@_draw.register
def _rule(layer: grammar.Rule, panel: Panel) -> Iterable[Any]:
    line = {"color": layer.look.colour, "dash": layer.look.dash, "width": 1.5 * layer.width}
    meta = _meta(panel, layer.rows.loc[layer.rows.index.repeat(2)])
    for x, y in layer.rows.reindex(columns=["x", "y"]).to_numpy():
        across = panel.limits("x") if np.isnan(x) else panel.x.positions([x, x])
        up = panel.limits("y") if np.isnan(y) else panel.y.positions([y, y])
        told = f"{rich(layer.entry)} {y if np.isnan(x) else x:.4g}<extra></extra>"
        at = {"x": _short(across), "y": _short(up), "line": line}
        yield {**LINE_OF, **at, "hovertemplate": told, "meta": meta}


@_draw.register
def _image(layer: grammar.Image, _: Panel) -> Iterable[Any]:
    pixels, (low, high) = layer.pixels(), np.log10(layer.scale)
    with np.errstate(divide="ignore"):
        logs = np.log10(pixels.to_numpy())
    ticks = np.arange(np.ceil(low), high + 1e-9)
    yield {
        "type": "heatmap",
        "x": _short(pixels.columns),
        "y": _short(pixels.index),
        "z": [_short(np.where(line >= low, line, np.nan)) for line in logs],
        "zmin": float(low),
        "zmax": float(high),
        "text": [[f"{value:.3g}" for value in line] for line in pixels.to_numpy()],
        "colorscale": "Viridis",
        "showscale": layer.bar,
        "colorbar": {"tickvals": ticks.tolist(), "ticktext": [f"{10**one:g}" for one in ticks]},
        "hovertemplate": f"%{{x}}, %{{y}}: %{{text}} {layer.unit}<extra></extra>",
    }


def _meta(panel: Panel, rows: pd.DataFrame) -> dict[str, list[Any]] | None:
    """The runs behind each mark, so that the page can compute it from a selection of runs."""
    found = {name: list(rows[name]) for name in ("keys", "share") if name in rows}
    if "median_of" in rows:
        found["of"] = [
            dict(zip(of, _short(panel.y.positions(list(of.values()))), strict=True))
            for of in rows["median_of"]
        ]
    return found or None


def _numbers(panel: Panel, rows: pd.DataFrame) -> tuple[str, list[str]]:
    """The labels of a point's numbers, and the numbers; for an x axis of names, the name."""
    names = None
    if panel.x.ticks and panel.x.place is None:
        names = panel.x.ticks(*panel.limits("x"))
    x = [f"{x:.4g}" if names is None else rich(names.get(x, "")) for x in rows["x"]]
    told = [", ".join(filter(None, [x, f"{y:.4g}"])) for x, y in zip(x, rows["y"], strict=True)]
    labels = [panel.y.label] if names is not None else [panel.x.label, panel.y.label]
    return rich(", ".join(filter(None, labels))), told


def _hover(
    layer: Layer, what: str, numbers: Sequence[str], rows: pd.DataFrame | None = None
) -> dict[str, Any]:
    """Hover text of each point: the layer, the numbers, the point's own words, the run."""
    rows = layer.rows if rows is None else rows
    words = [rich(str(one)) for one in rows["told"]] if "told" in rows else [""] * len(rows)
    same = words[0] if len(set(words)) == 1 else ""
    texts = ["<br>".join(filter(None, one)) for one in zip(numbers, words, strict=True)]
    keys = list(map(str, rows["key"])) if "key" in rows else None
    run = "run %{customdata}" if keys and all(keys) else ""
    lines = [rich(layer.entry), f"{what}: %{{text}}" if what else "%{text}", same, run]
    return {
        "text": list(numbers) if same else texts,
        "customdata": keys,
        "hovertemplate": "<br>".join(filter(None, lines)) + "<extra></extra>",
    }


def _short(values: Any) -> list[float | None]:
    """Numbers rounded to six digits; None for values that are not finite."""
    numbers = np.asarray(values, float).tolist()
    return [float(f"{one:.6g}") if abs(one) < float("inf") else None for one in numbers]


def _clear(colour: str, opacity: float) -> str:
    parts = ",".join(str(int(colour[start : start + 2], 16)) for start in (1, 3, 5))
    return f"rgba({parts},{opacity:g})"
