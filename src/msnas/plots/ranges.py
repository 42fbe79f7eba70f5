"""How far an axis reaches: one number far from all others does not squash the rest."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

ONE_IN = 8
"""Of so many core numbers, one may lie beyond the axis."""

SQUASHED = 4.0
"""... if the axis is longer by this factor with it than without."""

REACH = 1.5
"""Loose numbers lie on the axis up to so many lengths of the core, or of their own half, away."""


def span(
    core: Float[np.ndarray, " number"],
    loose: Float[np.ndarray, " number"],
    firm: Float[np.ndarray, " number"],
) -> tuple[float, float]:
    """Lowest and highest position on an axis: all of the firm, the core, what is near of the loose.

    Loose numbers are single runs beside their medians. Of the core at most one number in eight is
    left out, and only if the axis would be four times as long with it.

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
    """Ordered numbers without the few at an end that make their range many times longer."""
    most = len(ordered) // ONE_IN
    for out in range(1, most + 1):
        for below in range(out + 1):
            kept = ordered[below : len(ordered) - (out - below)]
            length = kept[-1] - kept[0]
            if length > 0 and ordered[-1] - ordered[0] > SQUASHED * length:
                return kept
    return ordered
