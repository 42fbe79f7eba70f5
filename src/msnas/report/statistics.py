"""Medians with their intervals, and differences paired by seed. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from msnas.evaluation.agreement import FEWEST_SEEDS

LEVEL = 0.68
"""Confidence of the intervals in figures and tables, if nothing else is said."""


@dataclass(frozen=True, kw_only=True)
class Median:
    """The median of `count` values; `low` and `high` of its interval are None where there is none.

    `covers` is the probability with which such an interval covers the median.
    """

    count: int
    median: float
    low: float | None = None
    high: float | None = None
    covers: float | None = None


def median_of(values: Sequence[float], *, level: float = LEVEL) -> Median:
    """Median with the narrowest pair of order statistics that covers it with at least `level`.

    The k-th smallest and k-th largest of n values cover the true median with probability
    1 - 2 P(Binomial(n, 1/2) < k), whatever the distribution (David and Nagaraja, Order Statistics,
    2003, section 7.1). No chance is involved. Missing values (NaN) are left out. There is no
    interval below `FEWEST_SEEDS` values, nor where even smallest to largest covers too little: 95 %
    needs six values.

    >>> median_of([3, 1, 2, 5, 4])
    Median(count=5, median=3.0, low=1.0, high=5.0, covers=0.9375)
    """
    known = np.sort([value for value in values if not np.isnan(value)])
    count = len(known)
    if not count:
        raise ValueError("the median of no value")
    median = float(np.median(known))
    found = Median(count=count, median=median)
    if count < FEWEST_SEEDS:
        return found
    for rank in range(1, count // 2 + 1):
        covers = float(1 - 2 * stats.binom.cdf(rank - 1, count, 0.5))
        if covers < level:
            break
        low, high = float(known[rank - 1]), float(known[count - rank])
        found = Median(count=count, median=median, low=low, high=high, covers=covers)
    return found


def proportion_error(share: float, events: int) -> float:
    """Standard error of a share of `events` events (binomial).

    >>> proportion_error(0.5, 100)
    0.05
    """
    return float(np.sqrt(share * (1 - share) / events))
