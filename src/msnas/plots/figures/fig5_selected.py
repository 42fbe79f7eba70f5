"""Selected chains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from msnas.plots.axes import names_axis
from msnas.plots.bars import bar_panel
from msnas.plots.chains import chains_of
from msnas.plots.grammar import Axis, Chart, Look, NothingToDraw, Panel, Words
from msnas.plots.look import chain_looks, in_order
from msnas.plots.v1 import fixed_v1
from msnas.results.runs import Runs

NO_V1 = "other"
"""Text in place of v1 for task weights that are not fixed."""


def chart(runs: Runs) -> Chart:
    """Share of the runs that selected a chain, against v1, a panel per method.

    The number above a bar is that of its runs. Chains are stacked in the order of the last task's
    performance, best at the bottom. After Fig. 5 of the paper.
    """
    table = runs.wide[["chain" not in run.config["method"] for run in runs.finished]]
    if table.empty:
        raise NothingToDraw("no run of a method that selects a chain")
    chains, order = chain_order(runs, table)
    told = fixed_v1(runs, table).round(9).map(lambda one: NO_V1 if math.isnan(one) else f"{one:g}")
    weights = sorted(set(told), key=lambda one: math.inf if one == NO_V1 else float(one))
    frame = shares(table.assign(v1=told), chains, weights)
    left = len(runs.wide) - len(table)
    return Chart(
        title=runs.finished[0].problem,
        panels=[
            _panel(frame[frame["method"] == label], label, weights, chain_looks(chains))
            for label in in_order(list(frame["method"]))
        ],
        columns=3,
        size=(max(2.6, 0.9 + 0.38 * len(weights)), 3.3),
        notes=[
            f"Numbers: n runs. Order of the chains, best at the bottom: {order}.",
            *([f"Not shown: {left} runs of methods with a given chain."] if left else []),
        ],
    )


def shares(table: pd.DataFrame, chains: Sequence[str], weights: Sequence[str]) -> pd.DataFrame:
    """A row for each label (`method`), v1 and chain selected there: a bar from `base` to `y`.

    `n` is the number of all runs at this v1; `key` that of one run that selected the chain.
    """
    rows = []
    for (label, v1), part in table.groupby(["label", "v1"], sort=False):
        base = 0.0
        for chain in [chain for chain in chains if (part["chain"] == chain).any()]:
            own = part[part["chain"] == chain]
            share = len(own) / len(part)
            seeds, keys = ", ".join(map(str, sorted(own["seed"]))), ", ".join(own["key"])
            row = {"method": label, "v1": v1, "x": weights.index(str(v1)), "chain": chain}
            row |= {"base": base, "y": base + share, "n": len(part), "key": own["key"].iloc[0]}
            row["share"] = list(own["key"]), list(part["key"])
            told = f"v1 = {v1}: {100 * share:.0f} %\nseeds {seeds}\nrun {keys}"
            rows.append({**row, "told": told})
            base += share
    return pd.DataFrame(rows)


def chain_order(runs: Runs, table: pd.DataFrame) -> tuple[list[str], str]:
    """The selected chains, best first, and the number by which they are ordered, in words."""
    selected = set(table["chain"])
    quantity = runs.quantities.last
    try:
        chains = chains_of(runs)
    except NothingToDraw:
        chains = None
    if chains is not None and selected <= set(chains.order):
        weight = "" if chains.v1 is None else f" at v1 = {chains.v1:g}"
        order = f"median {chains.part} {chains.quantity.label} of each chain{weight}"
        return [chain for chain in chains.order if chain in selected], order
    if quantity is None:
        return sorted(selected), "alphabetic, as there is no metric"
    medians = table.groupby("chain")[quantity.test].median()
    ordered = medians.sort_values(ascending=not quantity.higher_is_better, kind="stable").index
    return list(map(str, ordered)), f"median test {quantity.label} of the runs that selected them"


def _panel(
    rows: pd.DataFrame, label: str, weights: Sequence[str], looks: Mapping[str, Look]
) -> Panel:
    tops = rows.groupby("x").agg(y=("y", "max"), text=("n", "first")).reset_index()
    names = [one.removeprefix("0") or "0" for one in weights]
    return bar_panel(
        rows.assign(kind=rows["chain"]),
        looks,
        x=names_axis(names, "task 1 weight $v_1$"),
        y=Axis(label="share of runs", limits=(0, 1.12)),
        title=label,
        upon=[Words(rows=tops, above=True)],
    )
