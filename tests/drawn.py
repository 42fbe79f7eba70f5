"""A look at a drawn figure."""

from __future__ import annotations

from matplotlib.figure import Figure as Drawing
from matplotlib.text import Text


def texts_inside(drawing: Drawing) -> None:
    """No text of the figure is cut off, but for marks of an axis outside its limits."""
    renderer = drawing.canvas.get_renderer()  # type: ignore[attr-defined]
    drawing.draw(renderer)
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
