"""Places for words beside points: upon no mark and upon no other word."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from msnas.plots.grammar import Panel, Points, Words

GAPS = (1.0, 4.0, 8.0)
"""Between a mark and its word, tried in this order [point]."""

FAR = (16.0, 28.0, 40.0)
"""Further gaps for words that must be there."""

WAYS = ((1, 1), (-1, 1), (1, -1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1))
"""Directions, tried in this order."""


class Box(NamedTuple):
    """A rectangle around its middle [point]."""

    x: float
    y: float
    width: float
    height: float

    def meets(self, others: Float[np.ndarray, "box 4"]) -> bool:
        """Whether it shares some room with one of the others."""
        apart = np.abs(others[:, :2] - self[:2]) * 2
        return bool((apart < others[:, 2:] + self[2:]).all(axis=1).any())

    def within(self, width: float, height: float) -> bool:
        """Whether it is inside a frame from (0, 0)."""
        return (
            self.width <= 2 * self.x <= 2 * width - self.width
            and self.height <= 2 * self.y <= 2 * height - self.height
        )


class Wanted(NamedTuple):
    """A text for a point: `above` it, or beside it where there is room; `must`: there at any rate.

    The point is given in positions of the axes, or in a frame [point].
    """

    x: float
    y: float
    text: str
    colour: str = ""
    above: bool = False
    must: bool = False


class Placed(NamedTuple):
    """A text for the point at the positions x and y; its middle is `away` from there [point]."""

    x: float
    y: float
    away: tuple[float, float]
    text: str
    colour: str


def placed_words(panel: Panel, frame: tuple[float, float], *, size: float) -> list[Placed]:
    """The words of a panel, and the values of what lies beyond its axes, where they have room.

    `frame` is the size of the axes and `size` that of letters [point].
    """
    (left, right), (low, high) = panel.limits("x"), panel.limits("y")
    marks: list[Box] = []
    lines = [np.empty((0, 2))]

    def to_frame(x: float, y: float) -> tuple[float, float]:
        return (x - left) / (right - left) * frame[0], (y - low) / (high - low) * frame[1]

    wanted = [Wanted(one.x, one.y, one.text, one.look.colour, must=True) for one in panel.beyond]
    marks += [Box(*to_frame(one.x, one.y), 8, 8) for one in wanted]
    for layer in panel.layers:
        if not isinstance(layer, Points | Words):
            continue
        x, y = panel.x.positions(layer.rows["x"]), panel.y.positions(layer.rows["y"])
        if isinstance(layer, Words):
            texts = zip(x, y, map(str, layer.rows["text"]), strict=True)
            wanted += [Wanted(*one, layer.look.colour, above=layer.above) for one in texts]
            continue
        at = [to_frame(*one) for one in zip(x + layer.shift, y, strict=True)]
        marks += [Box(*one, layer.size + 1, layer.size + 1) for one in at if layer.size]
        for one, other in pairwise(at):
            lines += [np.linspace(one, other, 20)] if layer.width else []
    at = [to_frame(one.x, one.y) for one in wanted]
    words = [one._replace(x=x, y=y) for one, (x, y) in zip(wanted, at, strict=True)]
    return [
        Placed(one.x, one.y, (box.x - word.x, box.y - word.y), one.text, one.colour)
        for one, word, box in zip(
            wanted,
            words,
            places(words, marks, np.concatenate(lines), frame, size=size),
            strict=True,
        )
        if box is not None and Box(word.x, word.y, -2, -2).within(*frame)
    ]


def places(
    words: Sequence[Wanted],
    marks: Sequence[Box],
    lines: Float[np.ndarray, "point 2"],
    frame: tuple[float, float],
    *,
    size: float,
) -> list[Box | None]:
    """A place for each word, the first words first; None without room.

    Words keep clear of all marks, of each other and of the frame's edges, and as far as possible of
    points on lines; those above their point are there whatever else is.
    """
    taken = np.reshape(marks, (-1, 4))
    found: list[Box | None] = []
    for x, y, text, _, above, must in words:
        width, height = 0.62 * size * len(text), 1.2 * size
        own = max((one.width for one in marks if abs(one.x - x) + abs(one.y - y) < 1), default=0.0)
        tries = [Box(x, y + own / 2 + 2 + height / 2, width, height)]
        if not above:
            around = [
                Box(
                    x + across * (own / 2 + gap + width / 2),
                    y + up * ((0.3 if across else 1.0) * own / 2 + gap + height / 2),
                    width,
                    height,
                )
                for gap, (across, up) in product((*GAPS, *FAR) if must else GAPS, WAYS)
            ]
            near = around[: len(GAPS) * len(WAYS)]
            around = [one for one in around if one.within(*frame)]
            free = [one for one in around if not one.meets(taken)]
            tries = [one for one in free if one in near] or free[:1]
            if must and not tries:
                tries = around[-1:]
        best = min(tries, key=lambda one: _hits(one, lines), default=None)
        found.append(best)
        taken = np.vstack([taken, best]) if best else taken
    return found


def _hits(box: Box, lines: Float[np.ndarray, "point 2"]) -> int:
    """How many points on lines are under a box."""
    under = np.abs(lines - (box.x, box.y)) * 2 < (box.width, box.height)
    return int(under.all(axis=1).sum())
