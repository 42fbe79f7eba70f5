"""Words beside points, none upon another one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from matplotlib.axes import Axes

WIDTH, HEIGHT = 0.07, 0.05
"""Of a word, as shares of the axes."""


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word for the point (x, y), in the units of the data."""

    x: float
    y: float
    text: str
    colour: str


def write_beside(axes: Axes, words: Iterable[Word]) -> list[Word]:
    """Write words, the first ones first; leave out those with no room, and those outside.

    Call it when the limits of `axes` are set. Returns the words that were written.
    """
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    written: list[tuple[float, float]] = []
    found = []
    for word in words:
        x, y = (word.x - left) / (right - left), (word.y - bottom) / (top - bottom)
        inside = 0 <= x <= 1 - WIDTH / 2 and 0 <= y <= 1 - HEIGHT / 2
        if inside and all(abs(x - a) > WIDTH or abs(y - b) > HEIGHT for a, b in written):
            written.append((x, y))
            found.append(word)
            axes.annotate(
                word.text,
                (word.x, word.y),
                xytext=(5, 4),
                textcoords="offset points",
                fontsize=8,
                color=word.colour,
                zorder=5,
            )
    return found
