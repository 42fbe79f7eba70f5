"""The range of an axis, so that an outlier does not squeeze all other numbers together."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

ONE_IN = 8
"""One in this many core numbers may lie beyond the axis ..."""

SQUASHED = 4.0
"""... if the axis would be longer by more than this factor with these numbers."""

REACH = 1.5
"""Loose numbers are on the axis up to this times the core's, or their own middle half's, length."""


def span(
    core: Float[np.ndarray, " number"],
    loose: Float[np.ndarray, " number"],
    firm: Float[np.ndarray, " number"],
) -> tuple[float, float]:
    """Lowest and highest position on an axis, which holds all firm and most of the other numbers.

    Loose numbers are single runs beside their medians, on the axis if near the core. Of the core at
    most one number in eight is left out, and only if it makes the axis four times as long.

    >>> none = np.array([])
    >>> span(np.array([1.0, 2, 3, 4]), np.array([0.5, 99]), none)
    (0.5, 4.0)
    >>> span(np.array([1.0, 2, 3, 4, 3, 2, 1, 99]), none, none)
    (1.0, 4.0)
    """
    core, loose, firm = (np.sort(one[np.isfinite(one)]) for one in (core, loose, firm))
    if len(firm):
        core = np.sort(np.append(core, firm[[0, -1]]))
    if not len(core):
        core, loose = loose, core
    if not len(core):
        return 0.0, 1.0
    kept = core if len(firm) else _without_far(core)
    low, high = float(kept[0]), float(kept[-1])
    if len(loose):
        quarter, rest = np.quantile(loose, [0.25, 0.75])
        reach = REACH * max(high - low, float(rest - quarter))
        there = loose[(loose >= low - reach) & (loose <= high + reach)] if reach else loose
        if len(there):
            low, high = min(low, float(there[0])), max(high, float(there[-1]))
    return low, high


def _without_far(ordered: Float[np.ndarray, " number"]) -> Float[np.ndarray, " number"]:
    """Ordered numbers without the few outliers that make their range many times longer."""
    most = len(ordered) // ONE_IN
    for out in range(1, most + 1):
        for below in range(out + 1):
            kept = ordered[below : len(ordered) - (out - below)]
            length = kept[-1] - kept[0]
            if length > 0 and ordered[-1] - ordered[0] > SQUASHED * length:
                return kept
    return ordered
