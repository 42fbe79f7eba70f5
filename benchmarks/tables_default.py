"""The tables of docs/results.md: the default recipe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from published import (
    Published,
    compared,
    counts,
    difference,
    holm,
    mean_of,
    rows_of,
    short,
    verdict,
)


def quality(runs: pd.DataFrame) -> list[str]:
    """Validation loss, AUC and MSE of the runs."""
    return [mean_of(runs[name]) for name in ("valid_loss", "test_auc", "test_mse")]


def choice(numbers: Published) -> str:
    """The default search, with the side channel, and with all events."""
    rows = []
    for name, told in (
        ("best", "10,000"),
        ("side", "10,000, `side` among the candidates"),
        ("all", "all 30,010"),
    ):
        runs = numbers.scan(name)
        rows.append(
            [
                told,
                str(len(runs)),
                counts(runs["chain"]),
                *quality(runs),
                mean_of(runs["joint_validity"]),
            ]
        )
    header = ["events", "seeds", "selected", "validation loss", "test AUC", "test MSE", "validity"]
    return rows_of(header, rows)


def trees(numbers: Published) -> str:
    """The selected chains beside boosted trees, on the same events."""
    of_problem = numbers.reference[numbers.reference["problem"] == "htautau"]
    header = ["trained with", "seeds", "judged on", "model", "AUC", "chain minus tree"]
    return rows_of(
        header,
        [
            [str(one.events), str(one.seeds), f"{one.judged} ({one.number})", *told]
            for one, told in beside_trees(of_problem)
        ],
    )


def fakes(numbers: Published) -> str:
    """The same for the chain of three tasks."""
    of_problem = numbers.reference[numbers.reference["problem"] == "htautau_fakes"]
    header = ["seeds", "quantity", "judged on", "model", "value", "chain minus tree"]
    return rows_of(
        header,
        [
            [str(one.seeds), one.quantity, f"{one.judged} ({one.number})", *told]
            for one, told in beside_trees(of_problem)
        ],
    )


def beside_trees(rows: pd.DataFrame) -> Iterator[tuple[Any, list[str]]]:
    """Every row with its model, value and difference in words."""
    groups = rows.groupby(["events", "candidates", "quantity", "judged"], sort=False)
    for (_, candidates, _, _), own in groups:
        side = " with `side`" if own["problem"].eq("htautau").all() and "side" in candidates else ""
        for one in own.itertuples():
            gap = "" if np.isnan(one.chain_minus) else short(one.chain_minus, 4, sign=True)
            error = "" if np.isnan(one.error) else f" +- {short(one.error, 4)}"
            name = one.model + side if np.isnan(one.error) else f"tree: {one.model}"
            yield one, [name, short(one.value, 4), gap + error]


def pairs(numbers: Published) -> str:
    """Fig. 2: every pair task after task, and re-optimised at v1 = 0."""
    runs = numbers.scan("fig2")
    runs = runs.assign(again=runs["label"].str.contains("reoptimise=true"))
    rows, p_values, means = [], [], []
    errors = numbers.pairs.set_index("chain")["event_error"]
    for chain, own in runs.groupby("chain", sort=False):
        after, again = (
            own[own["again"] == way].set_index("seed").sort_index() for way in (False, True)
        )
        told, p_value = difference(again["test_auc"], after["test_auc"])
        p_values.append(p_value)
        means.append(float((again["test_auc"] - after["test_auc"]).mean()))
        rows.append(
            [
                str(chain),
                str(len(again)),
                mean_of(after["test_auc"], 4),
                mean_of(again["test_auc"], 4),
                told,
                short(errors[chain], 4),
                mean_of(again["joint_validity"], 2),
            ]
        )
    adjusted = holm(p_values)
    for row, mean, p_value in zip(rows, means, adjusted, strict=True):
        row += [f"{p_value:.2g}", verdict(mean, p_value)]
    header = [
        *("pair", "seeds", "task after task", "re-optimised", "difference", "event error"),
        *("validity", "p (Holm)", "verdict"),
    ]
    return rows_of(header, rows)


def axis(numbers: Published) -> str:
    """Figs. 3 and 6: SPOS against v1."""
    runs = numbers.scan("v1")
    middle = runs[runs["v1"] == 0.5].set_index("seed")
    rows = []
    for v1, own in runs.groupby("v1"):
        by_seed = own.set_index("seed")
        blind, itself = v1 == 1, v1 == 0.5
        if blind or itself:
            said = "", "", ""
        else:
            said = compared(by_seed["test_auc"], middle["test_auc"])
        rows.append(
            [
                f"{v1:g}",
                str(len(own)),
                mean_of(own["test_mse"]),
                "no loss" if blind else mean_of(own["test_auc"], 4),
                *said,
                mean_of(own["joint_validity"]),
                counts(own["chain"]),
            ]
        )
    header = ["v1", "seeds", "MSE", "AUC", "AUC minus that at .5", "p", "verdict", "validity"]
    return rows_of([*header, "selected"], rows)


def regrets(own: pd.DataFrame, grid: pd.DataFrame, chains: pd.DataFrame) -> list[float]:
    """What a grid search of the same seed and v1 says the selected chains lose, if it has them."""
    losses = chains.groupby(["key", "chain"])["valid_loss"].min()
    keys = {(one.seed, one.v1): one.key for one in grid.itertuples()}
    judged = [(keys.get((one.seed, one.v1)), one.chain) for one in own.itertuples()]
    return [losses[one] - losses[one[0]].min() for one in judged if one in losses.index]


def methods(numbers: Published) -> str:
    """Every search at v1 = .5, paired with grid search by seed."""
    grid = numbers.scan("bank")
    spos = numbers.scan("v1")
    tables = {"grid_search": grid, "spos": spos[spos["v1"] == 0.5]}
    others = numbers.scan("methods")
    tables |= {str(label): own for label, own in others.groupby("label", sort=False)}
    rows = []
    for name, own in tables.items():
        regret = regrets(own, grid, numbers.chains)
        auc, auc_of_grid = (one.set_index("seed")["test_auc"] for one in (own, grid))
        said = ("", "", "") if name == "grid_search" else compared(auc, auc_of_grid)
        rows.append(
            [
                f"`{name}`",
                str(len(own)),
                counts(own["chain"]),
                mean_of(regret, 4) if regret else "",
                mean_of(own["test_auc"], 4),
                *said,
                mean_of(own["test_mse"]),
                mean_of(own["joint_validity"]),
            ]
        )
    header = [
        *("method", "seeds", "selected", "regret", "AUC", "AUC minus grid search's", "p"),
        *("verdict", "MSE", "validity"),
    ]
    return rows_of(header, rows)


def fresh(numbers: Published) -> str:
    """The talk's comparison: the same searches from fresh weights, paired by seed."""
    began = pd.concat([numbers.scan("bank"), numbers.scan("v1"), numbers.scan("methods")])
    plain = numbers.scan("plain")
    rows = []
    for name, own in plain.groupby("method", sort=False):
        own = own.set_index("seed")
        pretrained = began[(began["method"] == name) & (began["v1"] == 0.5)].set_index("seed")
        cells = [f"`{name}`", str(len(own)), counts(own["chain"])]
        for column, higher in (("test_auc", True), ("test_mse", False)):
            gap, *said = compared(own[column], pretrained[column], higher_is_better=higher)
            cells += [mean_of(own[column], 4 if higher else 3), gap, ", ".join(said)]
        rows.append([*cells, mean_of(own["joint_validity"])])
    header = ["method", "seeds", "selected"]
    for name in ("AUC", "MSE"):
        header += [name, "minus pre-trained", "p, verdict"]
    return rows_of([*header, "validity"], rows)


def grid_axis(numbers: Published) -> str:
    """Fig. 3: SPOS beside grid search at every v1, paired by seed."""
    spos = numbers.scan("v1")
    grids = pd.concat([numbers.scan("grid"), numbers.scan("bank")])
    rows = []
    for v1, grid in grids[grids["seed"].isin(spos["seed"])].groupby("v1"):
        own = spos[(spos["v1"] == v1) & spos["seed"].isin(grid["seed"])]
        auc, auc_of_grid = (one.set_index("seed")["test_auc"] for one in (own, grid))
        gap, *told = compared(auc, auc_of_grid)
        said = [gap, ", ".join(told)] if v1 < 1 else ["no loss", ""]
        lost = regrets(own, grid, numbers.chains)
        chains = counts(grid["chain"]), counts(own["chain"])
        rows.append([f"{v1:g}", str(len(own)), *chains, mean_of(lost, 4), *said])
    header = ["v1", "seeds", "grid search selects", "SPOS selects", "regret", "AUC minus grid's"]
    return rows_of([*header, "p, verdict"], rows)


def one_training(numbers: Published) -> str:
    """One training for every v1 against a training at each: of a given chain, and of SPOS."""
    rows = []
    conditions = numbers.runs[numbers.runs["condition"].notna()]
    searched = conditions[conditions["scan"] == "yoto"]
    for told, several, each in (
        ("cnn-lstm", conditions[conditions["scan"] == "chain_once"], "chain_fixed"),
        ("SPOS", searched, "v1"),
        ("SPOS, where it selects cnn-lstm", searched[searched["chain"] == "cnn-lstm"], "v1"),
    ):
        fixed = numbers.scan(each)
        for v1, own in several.groupby("condition"):
            alone = fixed[np.isclose(fixed["v1"], v1)].set_index("seed")
            if alone.empty or v1 == 1:
                continue
            together = own.set_index("seed")
            cells = [told, f"{v1:g}", str(len(own))]
            for column, higher in (("test_auc", True), ("test_mse", False)):
                gap, *said = compared(together[column], alone[column], higher_is_better=higher)
                cells += [mean_of(alone[column]), mean_of(together[column]), gap, ", ".join(said)]
            rows.append(cells)
    header = ["trained", "v1", "seeds"]
    for name in ("AUC", "MSE"):
        header += [f"{name}, fixed", "one training", "difference", "p, verdict"]
    return rows_of(header, rows)


def one_training_seconds(numbers: Published) -> str:
    """Time of the connected training for every v1 of a given chain, and of a training at one."""
    stages = numbers.stages[
        (numbers.stages["stage"] == "posttrain") & (numbers.stages["seconds"] > 0)
    ]
    once, each = (stages[stages["scan"] == scan] for scan in ("chain_once", "chain_fixed"))
    first, other = float(once["seconds"].median()), float(each["seconds"].median())
    cells = ["cnn-lstm", str(len(once)), f"{first:.1f}", str(len(each)), f"{other:.1f}"]
    header = ["trained", "runs", "one training [s]", "runs", "a fixed one [s]", "share of five"]
    return rows_of(header, [[*cells, short(first / (5 * other), 2)]])


def recipes(numbers: Published) -> str:
    """`make train` under both recipes."""
    rows = []
    for name, told in (
        ("make", "the default: `recipe=fast`, `frame=canonical`, four candidates a task"),
        ("paper", "`recipe=paper frame=detector`, the paper's three candidates a task"),
    ):
        runs = numbers.scan(name)
        rows.append(
            [
                told,
                str(len(runs)),
                counts(runs["chain"]),
                f"{runs['seconds'].median():.0f}",
                *quality(runs),
            ]
        )
    header = ["setting", "seeds", "selected", "seconds (median)", "validation loss", "AUC", "MSE"]
    return rows_of(header, rows)


TABLES = (
    choice,
    trees,
    fakes,
    pairs,
    axis,
    methods,
    fresh,
    grid_axis,
    one_training,
    one_training_seconds,
    recipes,
)
