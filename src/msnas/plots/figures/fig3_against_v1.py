"""Re-optimisation against the weight of task 1."""

from __future__ import annotations

import pandas as pd

from msnas.plots import look
from msnas.plots.chains import FIXED, TABLE, WEIGHTS, fixed_chains
from msnas.plots.grammar import Chart, NothingToDraw
from msnas.plots.v1 import against_v1, conditions_by_label
from msnas.results.runs import Runs

WITH, WITHOUT = "best chain, re-optimised", "best chain, without re-optimisation"


def chart(runs: Runs) -> Chart:
    """The chain with the lowest weighted validation loss of each seed, on test events.

    Trained end to end (grid search, or the best of its fixed chains) and connected after
    pre-training without that, where v1 decides the choice of the chain alone. Also runs that were
    trained once for a range of v1 (YOTO). After Fig. 3 of the paper.
    """
    fixed, notes = fixed_chains(runs)
    once = conditions_by_label(runs)
    plain = fixed[~fixed["reoptimised"]]
    if plain.empty and not once:
        raise NothingToDraw(f"no run of {FIXED} with method.reoptimise=false")
    tables: dict[str, pd.DataFrame] = {}
    grid = runs.wide[runs.wide["method"] == TABLE]
    for label, part in grid.groupby("label"):
        tables[WITH if grid["label"].nunique() == 1 else f"{WITH} ({label})"] = part
    if grid.empty and fixed["reoptimised"].any():
        tables[WITH] = best_of_seed(fixed[fixed["reoptimised"]])
    if len(plain):
        weights = pd.concat([*tables.values(), plain])
        tables[WITHOUT] = best_for_weights(plain, weights, runs.finished[0].tasks)
    tables |= once
    own = {WITH: look.WITH, WITHOUT: look.WITHOUT}
    looks = {label: own.get(label, one) for label, one in look.looks(list(tables)).items()}
    return against_v1(runs, tables, looks, notes)


def best_of_seed(table: pd.DataFrame) -> pd.DataFrame:
    """For each seed and v1, the row with the lowest validation loss."""
    rounded = table["v1"].round(WEIGHTS)
    places = table.groupby(["seed", "split_seed", rounded], dropna=False)["valid/loss"].idxmin()
    return table.loc[places]


def best_for_weights(table: pd.DataFrame, weights: pd.DataFrame, tasks: list[str]) -> pd.DataFrame:
    """For the task weights of each row of `weights`, the best chain of each seed of `table`.

    The best chain has the lowest sum of weight times validation loss; its own task weights do not
    count, as it was not trained with them. Returns rows of `table` with the new v1 and weights.
    """
    names = [f"weight/{task}" for task in tasks if f"weight/{task}" in table]
    found = []
    chains = table.drop_duplicates(["chain", "seed", "split_seed"])
    for values in weights[names].dropna().round(WEIGHTS).drop_duplicates().itertuples(index=False):
        loss = sum(
            value * chains[name.replace("weight/", "valid/") + "/loss"]
            for value, name in zip(values, names, strict=True)
        )
        places = chains.assign(_loss=loss).groupby(["seed", "split_seed"], dropna=False)["_loss"]
        best = chains.loc[places.idxmin()]
        found.append(best.assign(v1=values[0], **dict(zip(names, values, strict=True))))
    return pd.concat(found, ignore_index=True)
