"""The report's table of how well searches rank the chains that grid search trained one by one."""

from __future__ import annotations

import pandas as pd

from msnas.compare.compared import rankings
from msnas.compare.groups import group_runs
from msnas.confidence import CONFIDENCE
from msnas.report.tables import KEYS, NamedTable, weights_of
from msnas.results.runs import Runs


def agreement_table(runs: Runs) -> NamedTable:
    """A row per method, task weights and quantity: how well a search ranks what grid search has."""
    rows = [
        {
            "method": row["method"],
            **weights_of(group.first),
            "quantity": row["quantity"],
            "seeds": len(row["seeds"]),
            "mean": row["mean"],
            "low": row.get("low"),
            "high": row.get("high"),
            "random": row["random"],
            KEYS: [one.key for label in group.runs for one in group.runs[label].values()],
        }
        for group in group_runs(runs.finished)[0]
        for row in rankings(group, confidence=CONFIDENCE)[0]
    ]
    return NamedTable(
        name="agreement",
        title="Searches against all trained chains",
        caption="With grid search's validation numbers of the same seed as the truth: tau, rank "
        "agreement (1: the same order); regret, what the selected chain loses to the best; hit "
        "rate, how often it is the best. Means over seeds, low to high with "
        f"{100 * CONFIDENCE:g} %. Random: the expectation of a uniform choice.",
        rows=pd.DataFrame(rows).dropna(axis=1, how="all"),
    )
