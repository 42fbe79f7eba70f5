"""A group's searches against the table of all chains its grid search trained with the same seed.

Imports no PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from msnas.compare.groups import Group
from msnas.report.collect import FinishedRun
from msnas.results.quality import (
    Path,
    hit,
    kendall_tau,
    probability_ranking,
    random_hit,
    random_regret,
    regret,
)
from msnas.results.statistics import Estimate, mean_estimate, rate_estimate

TABLE_METHOD = "grid_search"
"""The method that trains every chain, so that its validation numbers are a table to rank by."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """One quantity of one method, seed by seed; `random` is the same for a uniform choice."""

    method: str
    quantity: str
    seeds: Sequence[int]
    values: Sequence[float]
    estimate: Estimate
    random: float


@dataclass(frozen=True, kw_only=True)
class _Value:
    quantity: str
    value: float
    random: float


def compare_rankings(group: Group, *, confidence: float) -> tuple[list[Agreement], list[str]]:
    """Rank agreement, regret and hits of every method but grid search; and notes for the user."""
    tables, notes = grid_tables(group)
    rows = []
    for label, runs in group.runs.items():
        seeds = [seed for seed in runs if seed in tables]
        if label in group.labels_of(TABLE_METHOD):
            continue
        if missing := [seed for seed in runs if seed not in tables]:
            notes.append(f"{label}: no {TABLE_METHOD} run of seeds {', '.join(map(str, missing))}")
        found: dict[str, dict[int, _Value]] = {}
        for seed in seeds:
            for one in _judge(runs[seed], tables[seed]):
                found.setdefault(one.quantity, {})[seed] = one
        rows += [
            _agreement(label, quantity, by_seed, confidence) for quantity, by_seed in found.items()
        ]
    return rows, notes


def search_table(run: FinishedRun) -> dict[Path, Mapping[str, Any]]:
    """The validation numbers of every chain judged in a run's search."""
    return {
        tuple(chain["selected"][task] for task in run.tasks): chain["valid"]
        for chain in run.result["chains"]
        if chain["stage"] == "search"
    }


def grid_tables(group: Group) -> tuple[dict[int, dict[Path, Mapping[str, Any]]], list[str]]:
    """Grid search's table of every seed; variants of grid search train the same chains."""
    tables: dict[int, dict[Path, Mapping[str, Any]]] = {}
    notes = []
    for label in group.labels_of(TABLE_METHOD):
        for seed, run in group.runs[label].items():
            table = search_table(run)
            everything = set(product(*run.candidates))
            if table.keys() == everything:
                tables.setdefault(seed, table)
            else:
                notes.append(
                    f"{label}, seed {seed}: holds {len(table)} of {len(everything)} chains, "
                    f"left out ({run.directory})"
                )
    return tables, notes


def metrics_with_direction(run: FinishedRun, tasks: Sequence[str]) -> dict[str, bool]:
    """The one-number metrics of some tasks that tell what is better, as `<task>/<metric>`."""
    valid = run.result["metrics"]["valid"]
    return {
        name: higher
        for name, higher in run.result["directions"].items()
        if higher is not None
        and name.split("/")[0] in tasks
        and isinstance(valid.get(name), int | float)
    }


def _judge(run: FinishedRun, table: Mapping[Path, Mapping[str, Any]]) -> list[_Value]:
    """The quantities of one run against the table of its seed."""
    losses = {path: values["loss"] for path, values in table.items()}
    rankings = {}
    own = {path: values["loss"] for path, values in search_table(run).items()}
    if own.keys() == losses.keys():
        rankings["tau"] = own
    probabilities = run.result.get("probabilities")
    if probabilities is not None:
        product_ = probability_ranking([probabilities[task] for task in run.tasks])
        if product_.keys() == losses.keys():
            rankings["tau of probabilities"] = product_
    values = [
        _Value(quantity=quantity, value=tau, random=0.0)
        for quantity, ranking in rankings.items()
        if (tau := kendall_tau(ranking, losses)) is not None
    ]
    chosen = run.selected
    for name, higher in {"loss": False, **metrics_with_direction(run, run.tasks[-1:])}.items():
        numbers = {path: numbers[name] for path, numbers in table.items()}
        values.append(
            _Value(
                quantity=f"regret in {name}",
                value=regret(numbers, chosen, higher_is_better=higher),
                random=random_regret(numbers, higher_is_better=higher),
            )
        )
    values.append(_Value(quantity="hit rate", value=hit(losses, chosen), random=random_hit(losses)))
    return values


def _agreement(
    label: str, quantity: str, by_seed: Mapping[int, _Value], confidence: float
) -> Agreement:
    values = [one.value for one in by_seed.values()]
    if quantity == "hit rate":
        estimate = rate_estimate([bool(value) for value in values], confidence=confidence)
    elif quantity.startswith("regret"):
        estimate = mean_estimate(values, confidence=confidence, lowest=0.0)
    else:
        estimate = mean_estimate(values, confidence=confidence, lowest=-1.0, highest=1.0)
    return Agreement(
        method=label,
        quantity=quantity,
        seeds=list(by_seed),
        values=[float(value) for value in values],
        estimate=estimate,
        random=math.fsum(one.random for one in by_seed.values()) / len(by_seed),
    )
