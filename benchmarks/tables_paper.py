"""The tables of docs/results_paper.md: the paper's recipe and frame, three seeds."""

from __future__ import annotations

import pandas as pd
from published import Published, counts, mean_of, rows_of, short


def searches(numbers: Published) -> pd.DataFrame:
    """The runs of methods that search a chain, without those of one training for all v1."""
    runs = numbers.paper
    return runs[(runs["method"] != "fixed_chain") & ~runs["conditioned"]]


def paper_axis(numbers: Published) -> str:
    """Grid search, SPOS and DARTS against v1, from pre-trained candidates."""
    runs = searches(numbers)
    runs = runs[runs["pretrained"] & runs["method"].isin(("grid_search", "spos", "darts"))]
    rows = []
    for (name, v1), own in runs.groupby(["method", "v1"]):
        rows.append(
            [
                f"`{name}`",
                f"{v1:g}",
                str(len(own)),
                mean_of(own["test_mse"]),
                "no loss" if v1 == 1 else mean_of(own["test_auc"]),
                mean_of(own["joint_validity"]),
                counts(own["chain"]),
            ]
        )
    return rows_of(["method", "v1", "seeds", "MSE", "AUC", "validity", "selected"], rows)


def paper_methods(numbers: Published) -> str:
    """Every search at v1 = .5 with and without pre-training, and cnn-lstm trained end to end."""
    runs = searches(numbers)
    rows = []
    for (name, pretrained), own in runs.groupby(["method", "pretrained"], sort=False):
        if name == "end_to_end":  # at v1 = 0; it never pre-trains
            told, mse = "no", "no loss"
        else:
            own = own[own["v1"] == 0.5]
            told, mse = "yes" if pretrained else "no", mean_of(own["test_mse"])
        cells = [f"`{name}`", told, str(len(own)), counts(own["chain"])]
        before = runs[(runs["method"] == name) & runs["pretrained"] & runs["v1"].eq(0.5)]
        paired = own.set_index("seed")["test_auc"] - before.set_index("seed")["test_auc"]
        gap = "" if pretrained or before.empty else short(paired.mean(), 3, sign=True)
        rows.append([*cells, mean_of(own["test_auc"]), gap, mse])
    rows.sort(key=lambda row: (row[1] == "no", -float(row[4].split()[0])))
    header = ["method", "pre-trained", "seeds", "selected", "AUC", "minus pre-trained", "MSE"]
    return rows_of(header, rows)


def paper_pairs(numbers: Published) -> str:
    """Fig. 2: every pair task after task, and re-optimised at v1 = 0."""
    runs = numbers.paper[numbers.paper["method"] == "fixed_chain"]
    rows = []
    for chain, own in runs.groupby("chain", sort=False):
        after, again = (
            own[own["reoptimised"].astype(bool) == way].set_index("seed")["test_auc"]
            for way in (False, True)
        )
        gap = (again - after).dropna()
        cells = [str(chain), str(len(gap)), mean_of(after), mean_of(again)]
        rows.append([*cells, short(gap.mean(), 3, sign=True), f"{(gap > 0).sum()} of {len(gap)}"])
    header = ["pair", "seeds", "task after task", "re-optimised, v1 = 0", "difference"]
    return rows_of([*header, "seeds that gain"], rows)


TABLES = (paper_axis, paper_methods, paper_pairs)
