"""A look at a chart: both renderers draw it whole, and its points lead to runs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure as Drawing
from matplotlib.text import Text

from msnas.plots.grammar import Chart
from msnas.plots.page import interactive
from msnas.plots.paper import draw
from msnas.results.runs import Runs, collect


def runs_of(place: Path) -> Runs:
    return collect([place])


def texts_inside(drawing: Drawing) -> None:
    """No text of the figure is cut off, but for marks of an axis outside its limits."""
    renderer = drawing.canvas.get_renderer()  # type: ignore[attr-defined]
    drawing.draw_without_rendering()
    unseen = set()
    for axis in [axis for axes in drawing.axes for axis in (axes.xaxis, axes.yaxis)]:
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not low <= tick.get_loc() <= high:
                unseen |= {tick.label1, tick.label2}
    texts = [one for one in drawing.findobj(Text) if one.get_text() and one.get_visible()]
    assert len(texts) > 3
    for text in set(texts) - unseen:
        box = text.get_window_extent(renderer)
        assert min(box.x0, box.y0) > -1, text
        assert box.x1 < drawing.bbox.width + 1, text
        assert box.y1 < drawing.bbox.height + 1, text


def check_drawn(chart: Chart, keys: Iterable[str]) -> None:
    """It is drawn whole, on paper and for the page; the page tells runs, and no number is NaN."""
    texts_inside(draw(chart))
    page = go.Figure(interactive(chart))  # plotly refuses names and values that it does not know
    text = page.to_json()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert len(text) < 300_000
    json.loads(text)
    found = {str(key) for one in page.data for key in one.customdata or () if key}
    assert found
    assert found <= set(keys)


def large(chart: Chart, label: str, panel: int = 0) -> pd.DataFrame:
    """The rows of the layer with this label (its beginning), in one panel."""
    (found,) = [
        one.rows for one in chart.panels[panel].layers if one.label and one.label.startswith(label)
    ]
    return found


def small(chart: Chart, panel: int = 0) -> pd.DataFrame:
    """The rows of all layers without a label that tell runs."""
    rows = [one.rows for one in chart.panels[panel].layers if not one.label and "key" in one.rows]
    return pd.concat(rows)
