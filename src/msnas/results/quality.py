"""How well a search agrees with the table of all trained chains. Imports no PyTorch.

A table holds one validation number per chain, such as the loss of every chain a grid search
trained with one seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from scipy import stats

Path = tuple[str, ...]
"""One candidate per task, in the order of the chain."""

Table = Mapping[Path, float]


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


def _shortfall(value: float, table: Table, *, higher_is_better: bool) -> float:
    numbers = table.values()
    return max(numbers) - value if higher_is_better else value - min(numbers)
