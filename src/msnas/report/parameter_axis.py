"""Axes for the values of a parameter: linear, or logarithmic with a place for zero.

The same positions serve figures on paper and on the page. Imports no PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.axes import Axes

from msnas.report.style import axis_break
from msnas.report.v1_axis import plotly_v1_axis, v1_axis, v1_position

DECADES = 2.0
"""From this range of positive values on an axis is logarithmic."""

LIMITS = {
    "one_minus_beta": {1.0: "CE", 0.0: "ICE"},
    "gamma": {0.0: "CE"},
}
"""Values at which a loss is a known one: cross entropy, inverse class frequency."""

SIGNS = {
    "one_minus_beta": (r"$1-\beta$", "1 - β"),
    "gamma": (r"focal $\gamma$", "focal gamma"),
}
"""Parameters on paper and on the page; of others the name."""

NEAR_AN_END = 0.05
"""With weights nearer to 0 or 1 than this (but not on them) their axis is that of v1."""


UPRIGHT = 6
"""More names than this are written askew."""


@dataclass(frozen=True, kw_only=True)
class ParameterAxis:
    """Where values stand, and what is written below them.

    `told` are names of values; `apart` is the distance of things that stand at the same value.
    """

    position: Callable[[float], float]
    paper: Callable[[Axes], None]
    page: Mapping[str, Any]
    told: Mapping[float, str] = field(default_factory=dict)
    apart: float = 0.16

    def words(self, value: float) -> str:
        """A value as text."""
        return f"{value:g}" + (f" ({self.told[value]})" if value in self.told else "")


def axis_of(name: str, values: Sequence[float]) -> ParameterAxis:
    """The axis for these values of a loss parameter."""
    sign, text = SIGNS.get(name, (name.replace("_", " "), name.replace("_", " ")))
    known = LIMITS.get(name, {})
    positive = [value for value in values if value > 0]
    if min(values) >= 0 and positive and max(positive) >= min(positive) * 10**DECADES:
        return _logarithmic(sign, text, values, known)
    return _linear(sign, text, values, known)


def weight_axis(values: Sequence[float]) -> ParameterAxis:
    """The axis for these weights of the first task: linear, or that of v1 if ends are scanned."""
    if any(0 < value < NEAR_AN_END or 0 < 1 - value < NEAR_AN_END for value in values):
        return ParameterAxis(
            position=lambda value: float(v1_position(value)), paper=v1_axis, page=plotly_v1_axis()
        )
    return _linear("weight of the first task $w_1$", "weight of the first task", values, {})


def names_axis(names: Sequence[str]) -> ParameterAxis:
    """An axis of names at 0, 1, 2 ...; a name may hold line breaks."""
    places = list(range(len(names)))

    def paper(axes: Axes) -> None:
        if len(names) > UPRIGHT:
            shown = [name.replace("\n", " ") for name in names]
            axes.set_xticks(places, shown, rotation=40, ha="right", rotation_mode="anchor")
        else:
            axes.set_xticks(places, names)
        axes.tick_params(axis="x", which="minor", bottom=False, top=False)
        axes.tick_params(axis="x", which="major", top=False)
        axes.set_xlim(-0.6, len(names) - 0.4)

    page = {
        "tickvals": places,
        "ticktext": [name.replace("\n", "<br>") for name in names],
        "range": [-0.6, len(names) - 0.4],
        "zeroline": False,
    }
    told = {float(place): name.replace("\n", " ") for place, name in enumerate(names)}
    return ParameterAxis(position=float, paper=paper, page=page, told=told, apart=0.14)


def _linear(
    sign: str, text: str, values: Sequence[float], known: Mapping[float, str]
) -> ParameterAxis:
    margin = 0.05 * (max(values) - min(values)) or 0.5
    limits = (min(values) - margin, max(values) + margin)
    told = {value: name for value, name in known.items() if value in values}
    words = "".join(f"  ({value:g}: {name})" for value, name in told.items())

    def paper(axes: Axes) -> None:
        axes.set_xlim(limits)
        axes.set_xlabel(sign + words)

    page = {"title": {"text": text + words}, "range": list(limits), "zeroline": False}
    apart = 0.02 * (limits[1] - limits[0])
    return ParameterAxis(position=float, paper=paper, page=page, told=told, apart=apart)


def _logarithmic(
    sign: str, text: str, values: Sequence[float], known: Mapping[float, str]
) -> ParameterAxis:
    """Zero stands one decade and a half below the rest, behind a break."""
    positive = [value for value in values if value > 0]
    low = math.floor(math.log10(min(positive)) + 1e-9)
    high = math.ceil(math.log10(max(positive)) - 1e-9)
    zero = low - 1.5
    has_zero = min(values) == 0
    told = {value: name for value, name in known.items() if value in values}
    decades = range(low, high + 1, max(1, -(-(high - low) // 8)))
    marks = {float(place): f"10{{{place}}}" if place else "1" for place in decades}
    if has_zero:
        marks[zero] = "0"
    names = {zero if value == 0 else math.log10(value): name for value, name in told.items()}

    def label(place: float, start: str, end: str, line: str) -> str:
        power = marks[place].replace("{", start).replace("}", end)
        shown = f"${power}$" if start == "^{" else power
        return shown + (f"{line}{names[place]}" if place in names else "")

    limits = ((zero if has_zero else low) - 0.4, high + 0.4)

    def paper(axes: Axes) -> None:
        axes.set_xticks(list(marks), [label(place, "^{", "}", "\n") for place in marks])
        axes.tick_params(axis="x", which="minor", bottom=False, top=False)
        axes.set_xlim(limits)
        axes.set_xlabel(sign)
        if has_zero:
            axis_break(axes, (zero + low) / 2)

    page = {
        "title": {"text": text},
        "tickvals": list(marks),
        "ticktext": [label(place, "<sup>", "</sup>", "<br>") for place in marks],
        "range": list(limits),
        "zeroline": False,
    }
    return ParameterAxis(
        position=lambda value: zero if value == 0 else math.log10(value),
        paper=paper,
        page=page,
        told=told,
    )
