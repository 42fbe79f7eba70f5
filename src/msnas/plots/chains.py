"""The metric of every single chain, with and without re-optimisation.

Re-optimised chains are runs of `fixed_chain`; without these runs, the chains that grid search
trained, for which only validation numbers are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from msnas.plots.grammar import NothingToDraw
from msnas.results.alike import labels
from msnas.results.quantity import Quantity, number_of
from msnas.results.runs import Runs
from msnas.terminal import CHAIN

FIXED, TABLE = "fixed_chain", "grid_search"
"""The methods that train a given chain, and all chains."""

SWITCH = "method.reoptimise"

NO_METRIC = "the last task has no metric that is one number with a better direction"

WEIGHTS = 9
"""Decimals to which equal task weights agree."""


@dataclass(frozen=True, kw_only=True)
class Chains:
    """One row per chain, kind and seed: key, chain, seed, v1, reoptimised, value.

    `order` has the best chain first, by the median of re-optimised runs if there are any.
    """

    quantity: Quantity
    part: Literal["test", "validation"]
    v1: float | None
    table: pd.DataFrame
    order: Sequence[str]
    notes: Sequence[str]


def chains_of(runs: Runs) -> Chains:
    """Each chain at the lowest v1 there is; raise NothingToDraw if there is no chain.

    Without re-optimisation the task weights change nothing, so runs at all v1 are used there.
    """
    quantity = runs.quantities.last
    if quantity is None:
        raise NothingToDraw(NO_METRIC)
    fixed, notes = fixed_chains(runs)
    tuned = fixed[fixed["reoptimised"]]
    part: Literal["test", "validation"] = "test"
    if tuned.empty and len(every := grid_chains(runs, quantity)):
        part, tuned = "validation", every
    column = quantity.test if part == "test" else quantity.valid
    found = pd.concat([_lowest_v1(tuned), fixed[~fixed["reoptimised"]]], ignore_index=True)
    if column not in found:
        raise NothingToDraw(f"no run of {FIXED} and no run of {TABLE} with its chains")
    found = found.rename(columns={column: "value"}).dropna(subset="value")
    found = found.drop_duplicates(["chain", "reoptimised", "seed", "split_seed"])
    if found.empty:
        raise NothingToDraw(f"no run of {FIXED} and no run of {TABLE} with its chains")
    judged = found[found["reoptimised"]] if found["reoptimised"].any() else found
    medians = judged.groupby("chain")["value"].median()
    ordered = medians.sort_values(ascending=not quantity.higher_is_better, kind="stable")
    rest = sorted(set(found["chain"]) - set(ordered.index))
    v1 = found.loc[found["reoptimised"], "v1"].dropna()
    columns = ["key", "chain", "seed", "split_seed", "v1", "reoptimised", "value"]
    return Chains(
        quantity=quantity,
        part=part,
        v1=float(v1.iloc[0]) if len(v1) else None,
        table=found[columns],
        order=[*map(str, ordered.index), *rest],
        notes=notes,
    )


def fixed_chains(runs: Runs) -> tuple[pd.DataFrame, list[str]]:
    """The runs of `fixed_chain` that differ in chain, re-optimisation, weights and seed alone.

    With a column `reoptimised`. If other settings differ, only the most frequent; and a note on it.
    """
    ones = [run for run in runs.finished if run.method == FIXED]
    table = runs.wide[runs.wide["method"] == FIXED].copy()
    table["reoptimised"] = [bool(run.config["method"].get("reoptimise", True)) for run in ones]
    told = pd.Series(
        labels(ones, without=["method.chain", SWITCH]), index=table.index, dtype=object
    )
    return _most_frequent(table, told)


def grid_chains(runs: Runs, quantity: Quantity) -> pd.DataFrame:
    """One row per chain of each grid search with its validation number; most frequent settings."""
    table = runs.wide[runs.wide["method"] == TABLE]
    table, _ = _most_frequent(table, table["label"])
    rows = []
    for place, row in table.to_dict("index").items():
        run = runs.finished[place]
        rows += [
            {
                **{name: row[name] for name in ("key", "seed", "split_seed", "v1")},
                "chain": CHAIN.join(path),
                "reoptimised": True,
                quantity.valid: number_of(numbers, quantity.name),
            }
            for path, numbers in run.search_table().items()
            if quantity.name in numbers
        ]
    return pd.DataFrame(rows)


def _most_frequent(table: pd.DataFrame, kind: pd.Series) -> tuple[pd.DataFrame, list[str]]:
    if table.empty:
        return table, []
    counts = kind.value_counts()
    most = next(str(one) for one in kind if counts[one] == counts.max())
    left = int((kind != most).sum())
    notes = [f"Not shown: {left} runs of other settings than {most}."] if left else []
    return table[kind == most], notes


def _lowest_v1(table: pd.DataFrame) -> pd.DataFrame:
    if table.empty or table["v1"].isna().all():
        return table
    return table[table["v1"].round(WEIGHTS) == table["v1"].min().round(WEIGHTS)]
