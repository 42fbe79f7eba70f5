"""Intervals and errors of numbers, from the seeds and from the test events. Imports no PyTorch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

LEVEL = 0.68
"""Confidence level of the intervals in figures and tables, unless another level is stated."""

FEWEST_SEEDS = 5
"""Below this number of seeds there is no interval: their spread is not known well enough."""


@dataclass(frozen=True, kw_only=True)
class Median:
    """The median of `count` values; `low` and `high` of its interval are None where there is none.

    `covers` is the probability that the interval covers the true median.
    """

    count: int
    median: float
    low: float | None = None
    high: float | None = None
    covers: float | None = None

    @property
    def bar(self) -> tuple[float, float]:
        """Lengths of the interval below and above the median; 0 where there is none."""
        if self.low is None or self.high is None:
            return 0.0, 0.0
        return self.median - self.low, self.high - self.median


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over seeds; `low` and `high` of its interval are None where there is none."""

    mean: float
    low: float | None = None
    high: float | None = None

    def row(self, seeds: Iterable[int], values: Sequence[float]) -> dict[str, Any]:
        """The estimate as a table row: seeds, values, mean, and the interval if there is one."""
        interval = {} if self.low is None else {"low": self.low, "high": self.high}
        return {"seeds": list(seeds), "values": list(values), "mean": self.mean, **interval}


def median_of(values: Sequence[float], *, level: float = LEVEL) -> Median:
    """Median with the narrowest pair of order statistics that covers it at the `level` or above.

    The k-th smallest and k-th largest of n values cover the true median with probability
    1 - 2 P(Binomial(n, 1/2) < k), whatever the distribution (David and Nagaraja, Order Statistics,
    2003, section 7.1). Nothing is resampled. Missing values (NaN) are left out. There is no
    interval below `FEWEST_SEEDS` values, nor if even the range from the smallest to the largest
    value covers too little: 95 % needs six values.

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
        covers = float(1 - 2 * special.bdtr(rank - 1, count, 0.5))
        if covers < level:
            break
        low, high = float(known[rank - 1]), float(known[count - rank])
        found = Median(count=count, median=median, low=low, high=high, covers=covers)
    return found


def mean_estimate(
    values: Sequence[float],
    *,
    confidence: float,
    lowest: float = -math.inf,
    highest: float = math.inf,
) -> Estimate:
    """Mean of one value per seed with Student's t interval, cut at `lowest` and `highest`.

    No interval below `FEWEST_SEEDS`, nor if all values are equal: a spread of zero in a few seeds
    does not mean certainty.
    """
    mean = math.fsum(values) / len(values)
    if len(values) < FEWEST_SEEDS or len(set(values)) < 2:
        return Estimate(mean=mean)
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = error * float(special.stdtrit(len(values) - 1, (1 + confidence) / 2))
    return Estimate(mean=mean, low=max(mean - half, lowest), high=min(mean + half, highest))


def leaving_out(
    whole: float,
    without: Sequence[float],
    *,
    confidence: float,
    lowest: float = -math.inf,
    highest: float = math.inf,
) -> Estimate:
    """A number with Tukey's jackknife interval; `without` has the number without each seed.

    No interval below `FEWEST_SEEDS` seeds; it is cut at `lowest` and `highest`.
    """
    count = len(without)
    if not count:
        return Estimate(mean=whole)
    pseudo = [count * whole - (count - 1) * one for one in without]
    found = mean_estimate(pseudo, confidence=confidence)
    if found.low is None or found.high is None:
        return Estimate(mean=whole)
    half = (found.high - found.low) / 2
    return Estimate(mean=whole, low=max(whole - half, lowest), high=min(whole + half, highest))


def rate_estimate(hits: Sequence[bool], *, confidence: float) -> Estimate:
    """Share of hits with the interval of Clopper and Pearson (1934); none below `FEWEST_SEEDS`.

    Exact for the binomial distribution: it covers with at least the given confidence.
    """
    count, seeds = sum(hits), len(hits)
    if seeds < FEWEST_SEEDS:
        return Estimate(mean=count / seeds)
    from scipy import stats  # a second to import: only where it is needed

    interval = stats.binomtest(count, seeds).proportion_ci(confidence, method="exact")
    return Estimate(mean=count / seeds, low=float(interval.low), high=float(interval.high))


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Differences of pairs of runs that share seed and test events, with two kinds of error.

    `mean` and `median` have intervals from the spread over seeds. `event_error` is the standard
    error of the mean difference due to the choice of test events alone, for the given trained
    chains; it does not shrink with more seeds, and is None where it is not known.
    """

    values: Sequence[float]
    mean: Estimate
    median: Median
    first_mean: float
    second_mean: float
    event_error: float | None = None


def paired(
    first: Sequence[float],
    second: Sequence[float],
    *,
    confidence: float = LEVEL,
    event_error: float | None = None,
) -> Paired:
    """The differences `first` - `second`, one for each seed.

    >>> paired([0.8, 0.9], [0.75, 0.75], event_error=0.01).mean.mean
    0.1...
    """
    values = [float(mine - its) for mine, its in zip(first, second, strict=True)]
    return Paired(
        values=values,
        mean=mean_estimate(values, confidence=confidence),
        median=median_of(values, level=confidence),
        first_mean=math.fsum(first) / len(values),
        second_mean=math.fsum(second) / len(values),
        event_error=event_error,
    )


def proportion_error(share: float, events: int) -> float:
    """Standard error of a share of `events` events (binomial).

    >>> proportion_error(0.5, 100)
    0.05
    """
    return float(np.sqrt(share * (1 - share) / events))
