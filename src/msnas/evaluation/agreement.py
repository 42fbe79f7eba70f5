"""How well a search agrees with the table of all trained chains, and how sure one can be of it.

A table holds one validation number per chain, such as the loss of every chain a grid search
trained with one seed. Imports no PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

Path = tuple[str, ...]
"""One candidate per task, in the order of the chain."""

Table = Mapping[Path, float]

FEWEST_SEEDS = 5
"""Below this number of seeds there is no interval: their spread is not known well enough."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over seeds; `low` and `high` of its interval are None where there is none."""

    mean: float
    low: float | None = None
    high: float | None = None


def kendall_tau(first: Table, second: Table) -> float | None:
    """Kendall's rank correlation (tau-b, which allows ties) of two tables of the same chains.

    1 for the same order, -1 for the reverse, 0 on average for a random one; None where it is not
    defined: fewer than two chains, or all numbers of a table equal.

    >>> kendall_tau({("a",): 0.1, ("b",): 0.2, ("c",): 0.3}, {("a",): 1, ("b",): 3, ("c",): 2})
    0.333...
    """
    if first.keys() != second.keys():
        raise ValueError(f"tables of different chains: {sorted(first)} and {sorted(second)}")
    paths = sorted(first)
    numbers = [first[path] for path in paths], [second[path] for path in paths]
    if any(len(set(one)) < 2 for one in numbers):
        return None
    return float(stats.kendalltau(*numbers).statistic)


def probability_ranking(probabilities: Sequence[Mapping[str, float]]) -> dict[Path, float]:
    """Every chain with minus the product of its candidates' probabilities: low is good, as a loss.

    `probabilities` holds one mapping from candidates to probabilities per task.
    """
    ranking: dict[Path, float] = {(): -1.0}
    for of_task in probabilities:
        ranking = {
            (*path, name): value * probability
            for path, value in ranking.items()
            for name, probability in of_task.items()
        }
    return ranking


def regret(table: Table, chosen: Path, *, higher_is_better: bool) -> float:
    """How much worse the chosen chain is than the best of the table; never negative."""
    return _shortfall(table[chosen], table, higher_is_better=higher_is_better)


def random_regret(table: Table, *, higher_is_better: bool) -> float:
    """The exact expectation of `regret` for a uniformly random chain."""
    mean = math.fsum(table.values()) / len(table)
    return _shortfall(mean, table, higher_is_better=higher_is_better)


def hit(losses: Table, chosen: Path) -> bool:
    """Whether no chain has a lower loss than the chosen one."""
    return losses[chosen] <= min(losses.values())


def random_hit(losses: Table) -> float:
    """Probability that a uniformly random chain is a hit: 1 / chains, more if several are best."""
    return sum(hit(losses, path) for path in losses) / len(losses)


def mean_estimate(
    values: Sequence[float],
    *,
    confidence: float,
    lowest: float = -math.inf,
    highest: float = math.inf,
) -> Estimate:
    """Mean of one value per seed with Student's t interval, cut at what the quantity can be.

    No interval below `FEWEST_SEEDS`, nor if all values are equal: a spread of zero in a few seeds
    does not mean certainty.
    """
    mean = math.fsum(values) / len(values)
    if len(values) < FEWEST_SEEDS or len(set(values)) < 2:
        return Estimate(mean=mean)
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = error * float(stats.t.ppf((1 + confidence) / 2, len(values) - 1))
    return Estimate(mean=mean, low=max(mean - half, lowest), high=min(mean + half, highest))


def rate_estimate(hits: Sequence[bool], *, confidence: float) -> Estimate:
    """Share of hits with the interval of Clopper and Pearson (1934); none below `FEWEST_SEEDS`.

    Exact for the binomial distribution: it covers at least with the given confidence.
    """
    count, seeds = sum(hits), len(hits)
    if seeds < FEWEST_SEEDS:
        return Estimate(mean=count / seeds)
    interval = stats.binomtest(count, seeds).proportion_ci(confidence, method="exact")
    return Estimate(mean=count / seeds, low=float(interval.low), high=float(interval.high))


def _shortfall(value: float, table: Table, *, higher_is_better: bool) -> float:
    numbers = table.values()
    return max(numbers) - value if higher_is_better else value - min(numbers)
