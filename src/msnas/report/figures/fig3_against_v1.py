"""Re-optimisation against v1 (paper, Fig. 3)."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, final

import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure as Drawing

from msnas.report.against_v1 import (
    HOW,
    AgainstV1,
    against_v1,
    conditions_by_label,
    draw_against_v1,
    interactive_against_v1,
)
from msnas.report.chains import FIXED, TABLE, WEIGHTS, fixed_chains
from msnas.report.figure import Figure, NothingToDraw
from msnas.report.scan import Scan
from msnas.report.style import COLOURS

WITH, WITHOUT = "best chain, re-optimised", "best chain, without re-optimisation"

LOOKS = {
    WITH: {"colour": COLOURS["blue"], "marker": "o", "plotly_marker": "circle"},
    WITHOUT: {"colour": COLOURS["orange"], "marker": "s", "plotly_marker": "square"},
}
"""The colours of the paper."""


@final
class ReoptimisationAgainstV1(Figure[AgainstV1]):
    """Both tasks' metrics and validity, with and without training the chain end to end."""

    name: ClassVar[str] = "fig3_against_v1"
    title: ClassVar[str] = "Re-optimisation against the weight of task 1"
    caption: ClassVar[str] = (
        "The chain with the lowest weighted validation loss of each seed, trained end to end "
        "(grid search, or the best of its fixed chains) and connected after pre-training without "
        "that, where v1 decides the choice of the chain alone; on test events. Also runs that were "
        f"trained once for a range of v1 (YOTO). {HOW} After Fig. 3 of the paper."
    )

    def data(self, scan: Scan) -> AgainstV1:
        """Grid search and fixed chains."""
        fixed, notes = fixed_chains(scan)
        once = conditions_by_label(scan)
        plain = fixed[~fixed["reoptimised"]]
        if plain.empty and not once:
            raise NothingToDraw(f"no run of {FIXED} with method.reoptimise=false")
        tables: dict[str, pd.DataFrame] = {}
        grid = scan.table[scan.table["method"] == TABLE]
        if len(grid):
            tables |= {
                WITH if grid["label"].nunique() == 1 else f"{WITH} ({label})": part
                for label, part in grid.groupby("label", sort=True)
            }
        elif fixed["reoptimised"].any():
            tables[WITH] = best_of_seed(fixed[fixed["reoptimised"]])
        if len(plain):
            weights = pd.concat([*tables.values(), plain])
            tables[WITHOUT] = best_for_weights(plain, weights, scan.runs[0].tasks)
        data = against_v1(scan, tables | once, notes)
        looks = {label: replace(look, **LOOKS.get(label, {})) for label, look in data.looks.items()}
        return replace(data, looks=looks)

    def draw(self, data: AgainstV1) -> Drawing:
        """Panels side by side."""
        return draw_against_v1(data)

    def interactive(self, data: AgainstV1) -> go.Figure:
        """The same."""
        return interactive_against_v1(data)


def best_of_seed(table: pd.DataFrame) -> pd.DataFrame:
    """Of each seed and v1 the row with the lowest validation loss."""
    rounded = table["v1"].round(WEIGHTS)
    places = table.groupby(["seed", "split_seed", rounded], dropna=False)["valid/loss"].idxmin()
    return table.loc[places]


def best_for_weights(table: pd.DataFrame, weights: pd.DataFrame, tasks: list[str]) -> pd.DataFrame:
    """For the task weights of each row of `weights`, the best chain of each seed of `table`.

    The best has the lowest sum of weight times validation loss; its own task weights do not count,
    as these chains were not trained with them. Returns rows of `table` with other v1 and weights.
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
