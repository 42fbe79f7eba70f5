"""The tables of docs/results_imbalance.md: rare taus among jets, and two tasks on shared layers."""

from __future__ import annotations

import numpy as np
import pandas as pd
from published import Published, compared, mean_of, rows_of, short

LOSSES = {
    "BinaryCrossEntropy": "`binary_cross_entropy`",
    "InverseClassFrequency": "`inverse_class_frequency`",
    "ClassBalanced": "`class_balanced` (1e-4)",
    "Focal": "`focal` (gamma 2)",
    "Affinity": "`affinity`",
}
"""The losses by the names of their options."""


WEIGHTINGS = {
    "UW": "`uncertainty`",
    "GradNorm": "`gradnorm`",
    "MGDA": "`mgda`",
    "UPGrad": "`upgrad`",
    "PCGrad": "`pcgrad`",
    "IMTLG": "`imtl_g`",
    "AlignedMTL": "`aligned_mtl`",
    "Random of losses": "`random`",
}
"""The weightings by the names of their options."""

JETS, TAUS = 9910, 1101
"""Of the training part."""


def class_balance(numbers: Published) -> str:
    """Accuracy of both classes against 1 - beta: fixed trainings, and one for all."""
    runs = of_scan(numbers, "cb_yoto")
    several = runs[runs["condition"].notna()]
    once = set(several["key"])
    fixed = runs[~runs["key"].isin(once)]
    rows = []
    for value, own in fixed.groupby("one_minus_beta", sort=True):
        alone = own.set_index("seed")
        together = several[np.isclose(several["condition"], value, rtol=1e-6)].set_index("seed")
        weight = (1 - (1 - value) ** JETS) / (1 - (1 - value) ** TAUS) if value else JETS / TAUS
        name = NAMES.get(value, f"{value:.0e}".replace("e-0", "e-"))
        cells = [name, f"{weight:.1f}", str(len(alone))]
        for column, higher in (("test_taus", True), ("test_jets", True)):
            cells += [mean_of(alone[column])]
            if together.empty:
                cells += ["", ""]
            else:
                gap, *said = compared(together[column], alone[column], higher_is_better=higher)
                cells += [gap, ", ".join(said)]
        rows.append([*cells, mean_of(alone["test_auc"], 4), mean_of(together["test_auc"], 4)])
    header = ["1 - beta", "weight of a tau", "seeds"]
    for name in ("taus", "jets"):
        header += [f"{name}, fixed", "one training minus fixed", "p, verdict"]
    return rows_of([*header, "AUC, fixed", "AUC, one training"], rows)


NAMES = {0.0: "0 (inverse frequency)", 1.0: "1 (cross entropy)"}


def losses(numbers: Published) -> str:
    """Every loss at both shares of taus."""
    runs = of_scan(numbers, "losses")
    rows = []
    for name, told in LOSSES.items():
        cells = [told]
        for share in (0.1, 0.01):
            own = runs[(runs["loss"] == name) & np.isclose(runs["tau_fraction"], share)]
            cells += [str(len(own))] if share == 0.1 else []
            cells += [mean_of(own[f"test_{what}"]) for what in ("taus", "jets", "auc")]
        rows.append(cells)
    header = ["loss", "seeds", "90/10: taus", "jets", "AUC", "99/1: taus", "jets", "AUC"]
    return rows_of(header, rows)


def multitask(numbers: Published) -> str:
    """Both tasks against the weight of the first, fixed, and by one training."""
    runs = of_scan(numbers, "multitask_scan")
    several = runs[runs["condition"].notna()]
    fixed = runs[~runs["key"].isin(set(several["key"]))]
    rows = []
    for value, alone in fixed.groupby("w1"):
        together = several[np.isclose(several["condition"], value)]
        cells = [f"{value:g}", str(len(alone))]
        for column, blind in (("test_auc", 0.0), ("test_mse", 1.0)):
            for own in (alone, together):
                cells.append("no loss" if value == blind and own is alone else mean_of(own[column]))
        rows.append(cells)
    header = ["w1", "seeds", "AUC, fixed", "AUC, one training", "MSE, fixed", "MSE, one training"]
    return rows_of(header, rows)


def pareto(numbers: Published) -> str:
    """Weightings that choose by themselves, beside the front of fixed weights."""
    runs = of_scan(numbers, "pareto")
    fixed = runs[(runs["weighting"] == "Fixed") & runs["w1"].between(0.1, 0.9)]
    means = fixed.groupby("w1")[["test_auc", "test_mse"]].mean()
    ranges = [
        f"{short(means[column].min(), 3)} to {short(means[column].max(), 3)}" for column in means
    ]
    rows = [["fixed, w1 = .1 to .9", str(int(fixed.groupby("w1").size().min())), *ranges]]
    others = runs[runs["weighting"] != "Fixed"]
    for name, own in others.groupby("weighting", sort=False):
        told = [mean_of(own["test_auc"]), mean_of(own["test_mse"])]
        rows.append([WEIGHTINGS[str(name)], str(len(own)), *told])
    return rows_of(["weighting", "seeds", "AUC", "MSE"], rows)


def of_scan(numbers: Published, name: str) -> pd.DataFrame:
    """The runs and conditions of a scan."""
    chosen = numbers.imbalance[numbers.imbalance["scan"] == name]
    if chosen.empty:
        raise SystemExit(f"docs/results/imbalance.csv has no run of the scan {name!r}")
    return chosen


TABLES = (class_balance, losses, multitask, pareto)
