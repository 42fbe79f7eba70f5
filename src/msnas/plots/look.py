"""Colours and marks that mean the same in every figure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from msnas.plots.grammar import Dash, Look, Marker

COLOURS = {
    "blue": "#0072b2",
    "orange": "#e69f00",
    "green": "#009e73",
    "vermilion": "#d55e00",
    "purple": "#cc79a7",
    "sky": "#56b4e9",
    "yellow": "#f0e442",
    "grey": "#7f7f7f",
    "brown": "#8c510a",
    "black": "#000000",
}
"""Okabe and Ito's colours, which the colour-blind can tell apart, and grey and brown."""

PLAIN = list(COLOURS.values())[:9]

METHODS = {
    "grid_search": Look(colour=COLOURS["green"], marker="triangle-up"),
    "darts": Look(colour=COLOURS["blue"]),
    "spos": Look(colour=COLOURS["orange"], marker="square"),
    "asng": Look(colour=COLOURS["vermilion"], marker="diamond"),
    "race": Look(colour=COLOURS["yellow"], marker="star"),
    "random_choice": Look(colour=COLOURS["grey"], marker="x"),
    "fixed_chain": Look(colour=COLOURS["purple"], marker="triangle-down"),
    "end_to_end": Look(colour=COLOURS["sky"], marker="cross"),
}
"""In order: training all chains, searches, methods without search. Colours as in paper, Fig. 6."""

CANDIDATES = {
    "mlp": COLOURS["orange"],
    "cnn": COLOURS["blue"],
    "lstm": COLOURS["green"],
    "sf": COLOURS["purple"],
    "mass": COLOURS["vermilion"],
    "zeros": COLOURS["grey"],
    "noise": COLOURS["black"],
}

MARKERS: tuple[Marker, ...] = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "triangle-down",
    "cross",
    "x",
    "star",
)
DASHES: tuple[Dash, ...] = ("solid", "dash", "dot", "dashdot")

REST = "#bbbbbb"
"""Colour of things for which no colour of their own is left."""

WITH, WITHOUT = (
    Look(colour=COLOURS["blue"]),
    Look(colour=COLOURS["orange"], marker="square", dash="dash"),
)
"""Looks of a pair, such as with and without re-optimisation (the paper's colours)."""


def method_of(label: str) -> str:
    """The method of a label: its first word."""
    return label.split(" ")[0].rstrip(",")


def in_order(labels: Sequence[str]) -> list[str]:
    """Labels by their methods' fixed order, unknown methods last, then by name."""
    known = list(METHODS)

    def place(label: str) -> tuple[int, str]:
        method = method_of(label)
        return known.index(method) if method in known else len(known), label

    return sorted(dict.fromkeys(labels), key=place)


def looks(labels: Sequence[str]) -> dict[str, Look]:
    """The look of each label: the look of its method, lighter for further labels of the method."""
    count: dict[str, int] = {}
    found = {}
    for label in dict.fromkeys(labels):
        method = method_of(label)
        own = METHODS.get(method, Look(colour=by_name(method), marker="star"))
        number = count.get(method, 0)
        count[method] = number + 1
        others = [one for one in PLAIN if one != own.colour]
        colour = (
            lighter(own.colour, (0.0, 0.35, 0.6)[number])
            if number < 3
            else others[(number - 3) % len(others)]
        )
        marker = MARKERS[(MARKERS.index(own.marker) + 3 * number) % len(MARKERS)]
        found[label] = replace(own, colour=colour, marker=marker, dash=DASHES[number % len(DASHES)])
    return found


def colours_of(names: Sequence[str], *, most: int | None = None) -> dict[str, str]:
    """A different colour for each candidate, its usual colour if possible; grey beyond `most`."""
    found = dict.fromkeys(names, REST)
    for name in list(names)[:most]:
        free = [one for one in COLOURS.values() if one not in found.values()]
        own = CANDIDATES.get(name, by_name(name))
        found[name] = own if own in free or not free else free[0]
    return found


def chain_looks(chains: Sequence[str]) -> dict[str, Look]:
    """A different colour for each chain; up to nine colours are easily told apart."""
    shades = product((0.0, 0.45, 0.7), PLAIN)
    return {
        chain: Look(colour=lighter(colour, share))
        for chain, (share, colour) in zip(chains, shades, strict=False)
    } | {chain: Look(colour=REST) for chain in chains[3 * len(PLAIN) :]}


def lighter(colour: str, share: float) -> str:
    """`colour` mixed with this share of white.

    >>> lighter("#0072b2", 0.5)
    '#80b9d9'
    """
    parts = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return "#" + "".join(f"{int(part + (255 - part) * share + 0.5):02x}" for part in parts)


def by_name(name: str) -> str:
    """A colour that depends on the name alone, so that it is the same in every figure."""
    return PLAIN[int(hashlib.sha256(name.encode()).hexdigest(), 16) % len(PLAIN)]
