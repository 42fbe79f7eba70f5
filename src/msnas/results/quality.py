"""How well a search agrees with the table of all trained chains. Imports no PyTorch.

A table holds one validation number per chain, such as the loss of every chain a grid search
trained with one seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations, product
from statistics import fmean
from typing import Any

from msnas.results.result import Result
from msnas.results.statistics import Estimate, leaving_out, mean_estimate, rate_estimate

TABLE_METHOD = "grid_search"
"""The method that trains every chain, so that its validation numbers are a table to rank by."""

RELATIVE = f"tau relative to {TABLE_METHOD}'s own"

Path = tuple[str, ...]
"""One candidate per task, in the order of the chain."""

Table = Mapping[Path, float]


def agreement(
    label: str,
    runs: Mapping[int, Result],
    tables: Mapping[int, Mapping[Path, Mapping[str, float]]],
    *,
    confidence: float,
) -> list[dict[str, Any]]:
    """Rank agreement, regret and hits of a method's runs, each against the table of its seed.

    A row for each quantity: method, quantity, the entries of `Estimate.row`, and `random`, the
    expectation for a uniformly random choice.
    """
    found: dict[str, dict[int, tuple[float, float]]] = {}
    for seed, run in runs.items():
        if seed in tables:
            for quantity, value in _judge(run, tables[seed]).items():
                found.setdefault(quantity, {})[seed] = value
    rows = []
    for quantity, by_seed in found.items():
        values, random = zip(*by_seed.values(), strict=True)
        estimate = _estimate(quantity, values, confidence).row(by_seed, values)
        fixed = {"method": label, "quantity": quantity}
        rows.append({**fixed, **estimate, "random": math.fsum(random) / len(random)})
    return rows


def agreement_of_seeds(
    tables: Mapping[int, Mapping[Path, Mapping[str, float]]],
    rows: Sequence[Mapping[str, Any]],
    *,
    confidence: float,
) -> list[dict[str, Any]]:
    """Grid search's tau between its own seeds, and the tau of methods relative to it.

    No search can foresee how another seed changes the order of the chains: a perfect search reaches
    that tau, not 1. `rows` are from `agreement`, and the result has the same form; it is empty
    without two tables, or if the tables do not agree at all. Intervals are jackknife intervals, as
    the pairs of seeds are not independent.
    """
    losses = {
        seed: {path: values["loss"] for path, values in table.items()}
        for seed, table in tables.items()
    }
    between = {
        pair: tau
        for pair in combinations(losses, 2)
        if losses[pair[0]].keys() == losses[pair[1]].keys()
        and (tau := kendall_tau(*(losses[seed] for seed in pair))) is not None
    }
    seeds = sorted({seed for pair in between for seed in pair})

    def own(without: int | None = None) -> float:
        return fmean(tau for pair, tau in between.items() if without not in pair)

    if not between or not own() > 0:
        return []
    several = len(between) == len(seeds) * (len(seeds) - 1) // 2 > 1
    of_seed = [fmean(tau for pair, tau in between.items() if seed in pair) for seed in seeds]
    left_out = [own(seed) for seed in seeds] if several else []
    limits = {"confidence": confidence, "lowest": -1.0, "highest": 1.0}
    estimate = leaving_out(own(), left_out, **limits).row(seeds, of_seed)
    label = f"{TABLE_METHOD}, between seeds"
    found = [{"method": label, "quantity": "tau", **estimate, "random": 0.0}]
    for row in rows:
        if row["quantity"] != "tau":
            continue
        by_seed = dict(zip(row["seeds"], row["values"], strict=True))
        left_out = [
            fmean(others) / own(seed)
            for seed in seeds
            if several and (others := [by_seed[one] for one in by_seed if one != seed])
        ]
        values = [tau / own() for tau in by_seed.values()]
        estimate = leaving_out(fmean(values), left_out, confidence=confidence).row(by_seed, values)
        fixed = {"method": row["method"], "quantity": RELATIVE}
        found.append({**fixed, **estimate, "random": 0.0})
    return found


def missing_chains(run: Result) -> int:
    """The number of chains that a run's search did not judge."""
    return len(set(product(*run.candidates)) - run.search_table().keys())


def _judge(
    run: Result, table: Mapping[Path, Mapping[str, float]]
) -> dict[str, tuple[float, float]]:
    """The quantities of one run against the table of its seed, and their random expectations."""
    losses = {path: values["loss"] for path, values in table.items()}
    rankings = {"tau": {path: values["loss"] for path, values in run.search_table().items()}}
    if run.probabilities is not None:
        rankings["tau of probabilities"] = probability_ranking(
            [run.probabilities[task] for task in run.tasks]
        )
    found = {
        quantity: (tau, 0.0)
        for quantity, ranking in rankings.items()
        if ranking.keys() == losses.keys() and (tau := kendall_tau(ranking, losses)) is not None
    }
    last = f"{run.tasks[-1]}/"
    directed = {name: higher for name, higher in run.directed().items() if name.startswith(last)}
    for name, higher in {"loss": False, **directed}.items():
        numbers = {path: values[name] for path, values in table.items()}
        found[f"regret in {name}"] = (
            regret(numbers, run.path, higher_is_better=higher),
            random_regret(numbers, higher_is_better=higher),
        )
    found["hit rate"] = float(hit(losses, run.path)), random_hit(losses)
    return found


def _estimate(quantity: str, values: Sequence[float], confidence: float) -> Estimate:
    if quantity == "hit rate":
        return rate_estimate([bool(value) for value in values], confidence=confidence)
    if quantity.startswith("regret"):
        return mean_estimate(values, confidence=confidence, lowest=0.0)
    return mean_estimate(values, confidence=confidence, lowest=-1.0, highest=1.0)


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
    from scipy import stats  # a second to import: only where it is needed

    return float(stats.kendalltau(*numbers).statistic)


def probability_ranking(probabilities: Sequence[Mapping[str, float]]) -> dict[Path, float]:
    """Every chain with minus the product of its candidates' probabilities: lower is better.

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
