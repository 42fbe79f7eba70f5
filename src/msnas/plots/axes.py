"""Axes of figures: logarithmic, for v1, for a loss's parameter, for names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np

from msnas.plots.grammar import Axis, Ticks
from msnas.results.quantity import Quantity
from msnas.results.result import VALIDITY

NEAREST = 0.001
"""Within this distance of 0 and of 1, the axis of v1 is linear."""

END = 0.8
"""Length of each linear part, in decades of the odds."""

V1 = ("0", ".001", ".01", ".1", ".5", ".9", ".99", ".999", "1")

DECADES = 2.0
"""From this range of positive values on, the axis of a parameter is logarithmic."""

SIGNS = {"one_minus_beta": r"$1-\beta$", "gamma": r"focal $\gamma$"}
"""Symbols of parameters of losses; other parameters are shown by their names."""

KNOWN = {"one_minus_beta": {1.0: "CE", 0.0: "ICE"}, "gamma": {0.0: "CE"}}
"""Values at which a loss is cross entropy (CE) or inverse class frequency (ICE)."""

NEAR_AN_END = 0.05
"""If a weight is nearer to 0 or 1 than this (but not equal), `v1_axis` is used."""

LONGEST = 26
"""Longest name on an axis [characters]."""

UPRIGHT = 6
"""More names than this, or at least 3 with one above 10 characters, are written askew."""


def v1_position(v1: float) -> float:
    """Position of v1 in [0, 1] on its axis: log10 of its odds, linear within .001 of 0 and 1.

    >>> [round(v1_position(v1), 3) for v1 in (0, 0.001, 0.1, 0.5, 0.9, 1)]
    [-3.8, -3.0, -0.954, 0.0, 0.954, 3.8]
    """
    if not 0 <= v1 <= 1:
        raise ValueError(f"v1 must be in [0, 1], found {v1}")
    inside = min(max(v1, NEAREST), 1 - NEAREST)
    ends = max(0.0, 1 - v1 / NEAREST), max(0.0, 1 - (1 - v1) / NEAREST)
    return math.log10(inside / (1 - inside)) + END * (ends[1] - ends[0])


def v1_axis(label: str = "task 1 weight $v_1$") -> Axis:
    """The axis for all v1 from 0 to 1; strokes mark where the scale changes."""
    turn = v1_position(NEAREST) - END / 2
    ticks = {v1_position(float(text)): text for text in V1}
    return Axis(
        label=label,
        place=v1_position,
        ticks=lambda low, high: ticks,
        breaks=(turn, -turn),
        limits=(0.0, 1.0),
        margin=0.4,
    )


def metric_axis(quantity: Quantity, part: str = "test", *, direction: bool = False) -> Axis:
    """The axis of a quantity, with unit and, if asked, better `direction`; validity is 0 to 1."""
    better = f" ({quantity.better} is better)" if direction else ""
    label = re.sub(r"\^(\w+)", r"$^{\1}$", f"{part} {quantity.axis}{better}".strip())
    if quantity.name == VALIDITY:
        return Axis(label=label, limits=(0.0, 1.0), margin=0.04)
    return Axis(label=label)


def weight_axis(values: Sequence[float]) -> Axis:
    """The axis for weights of the first task: linear, or `v1_axis` if some are near 0 or 1."""
    label = "task 1 weight $v_1$"
    if any(0 < value < NEAR_AN_END or 0 < 1 - value < NEAR_AN_END for value in values):
        return v1_axis(label)
    return Axis(label=label)


def log_axis(label: str, *, limits: tuple[float, float] | None = None) -> Axis:
    """A logarithmic axis of plain numbers."""
    return Axis(label=label, place=_log, ticks=log_ticks, limits=limits)


def log_ticks(low: float, high: float) -> Ticks:
    """Ticks at powers of ten between two logarithms; below two decades also at 2 and 5."""
    parts = (1, 2, 5) if high - low < 2 else (1,)
    values = [
        part * 10.0**power
        for power in range(math.floor(low), math.ceil(high) + 1)
        for part in parts
        if low <= math.log10(part * 10.0**power) <= high
    ]
    return {math.log10(value): _power(value) for value in values}


def parameter_axis(name: str, values: Sequence[float]) -> Axis:
    """The axis of a loss's parameter: linear, or logarithmic with a place for zero."""
    sign = SIGNS.get(name, name.replace("_", " "))
    known = {value: text for value, text in KNOWN.get(name, {}).items() if value in values}
    positive = [value for value in values if value > 0]
    if min(values) < 0 or not positive or max(positive) < min(positive) * 10**DECADES:
        told = "".join(f"  ({value:g}: {text})" for value, text in known.items())
        return Axis(label=sign + told)
    low = math.floor(math.log10(min(positive)) + 1e-9)
    high = math.ceil(math.log10(max(positive)) - 1e-9)
    zero = low - 1.5  # behind a break
    step = max(1, -(-(high - low) // 8))
    ticks = {float(power): _power(10.0**power) for power in range(low, high + 1, step)}
    if min(values) == 0:
        ticks[zero] = "0"
    for value, text in known.items():
        at = zero if value == 0 else math.log10(value)
        ticks[at] = f"{ticks[at]}\n{text}" if at in ticks else text
    return Axis(
        label=sign,
        place=lambda value: zero if value == 0 else _log(value),
        ticks=lambda low, high: ticks,
        breaks=((zero + low) / 2,) if min(values) == 0 else (),
    )


def whole_axis(label: str) -> Axis:
    """A linear axis of whole numbers."""
    return Axis(label=label, ticks=whole_ticks, place=float)


def whole_ticks(low: float, high: float) -> Ticks:
    """Ticks at up to nine whole numbers between two positions.

    >>> list(whole_ticks(0.8, 4.2)), list(whole_ticks(0, 30))
    ([1.0, 2.0, 3.0, 4.0], [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0])
    """
    steps = (part * 10**power for power in range(9) for part in (1, 2, 5))
    step = next(step for step in steps if (high - low) / step <= 8)
    first = math.ceil(low / step)
    return {float(step * one): str(step * one) for one in range(first, math.floor(high / step) + 1)}


def names_axis(names: Sequence[str], label: str = "") -> Axis:
    """An axis with names at 0, 1, 2 ...; a name may hold line breaks."""
    longest = max((len(line) for name in names for line in name.split("\n")), default=0)
    askew = len(names) > UPRIGHT or (len(names) > 2 and longest > 10)
    shown = [name if longest <= LONGEST else name[: LONGEST - 1] + "…" for name in names]
    ticks = {float(place): name for place, name in enumerate(shown)}
    limits = (-0.6, len(names) - 0.4)
    return Axis(label=label, limits=limits, ticks=lambda low, high: ticks, askew=askew)


def table_axis(label: str, values: Iterable[float]) -> Axis:
    """A logarithmic axis with ticks at just these values."""
    ticks = {_log(value): f"{value:g}" for value in values}
    return Axis(label=label, place=_log, ticks=lambda low, high: ticks)


def _log(value: float) -> float:
    return math.log10(value) if value > 0 else float(np.nan)


def _power(value: float) -> str:
    power = round(math.log10(value))
    return f"{value:g}" if 1e-3 <= value <= 1e4 else f"$10^{{{power}}}$"
