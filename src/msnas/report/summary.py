"""The tables of a report: methods, differences paired by seed, chains, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from msnas.report.collect import FinishedRun, OtherRun
from msnas.report.parts import NamedTable
from msnas.report.quantities import Quantity
from msnas.report.sampling_error import paired_sampling_error, sampling_error
from msnas.report.scan import Scan
from msnas.results.statistics import LEVEL, Median, median_of

REFERENCE = "grid_search"
"""The method that others are compared with, if there is one."""

INTERVAL = f"{LEVEL * 100:g} %"

HOW = (
    f"{INTERVAL}: interval of the median over seeds, from order statistics, none below five seeds. "
    "Test error: one standard error from the choice of test events, the trained chains given "
    "(DeLong's of an AUC, binomial of a share); it does not shrink with more seeds."
)


def tables_of(scan: Scan) -> list[NamedTable]:
    """All tables that have a row; the runs are of one problem."""
    found = [methods_table(scan), differences_table(scan), chains_table(scan)]
    return [one for one in found if len(one.table)]


def methods_table(scan: Scan) -> NamedTable:
    """A row per method, with its settings, and task weights."""
    errors = _test_errors(scan)
    rows = []
    for group, table in _by_weights(scan.table, ["label"]):
        seconds = table.get("seconds/total")
        rows.append(
            {
                "method": group["label"],
                **_weights(group),
                "runs": len(table),
                "chains": _counts(table["chain"]),
                **_medians(table, scan.quantities.all, errors),
                **({"seconds": round(float(seconds.median()), 1)} if seconds is not None else {}),
            }
        )
    return NamedTable(
        name="methods",
        title="Methods on test events",
        caption=f"Medians over seeds. {HOW} Seconds: all training, also what came from the cache.",
        table=pd.DataFrame(rows),
    )


def differences_table(scan: Scan) -> NamedTable:
    """A row per method, task weights and quantity: its test number minus the reference's."""
    rows = []
    table = scan.table
    runs = dict(zip(table.index, scan.runs, strict=True))
    keys = [
        "seed",
        "split_seed",
        "data",
        *(name for name in table if name.startswith("weight/")),
        *(
            name
            for name in table
            if name.startswith("set/")
            and not name.startswith(("set/method.", "set/recipe.search.", "set/data.content"))
        ),
    ]
    if len(table):
        key = pd.Series(
            [str(values) for values in table[keys].astype(object).itertuples(index=False)],
            index=table.index,
        )
        place = table.index[_reference(table)][0]
        own = [name for name in table if name.startswith("set/method.")]
        told = table[own].astype("string").fillna("")
        alike = (told == told.loc[place]).all(axis=1)
        is_base = (table["method"] == table["method"][place]) & alike
        base = dict(zip(key[is_base], table.index[is_base], strict=True))
        for group, part in _by_weights(table[~is_base], ["label"]):
            pairs = [(place, base[key[place]]) for place in part.index if key[place] in base]
            for quantity in scan.quantities.all:
                rows += _difference(table, runs, group, pairs, quantity)
    return NamedTable(
        name="differences",
        title="Differences of test numbers, paired by seed",
        caption="Method minus reference for runs with the same seed, events, task weights and "
        f"settings. {HOW}",
        table=pd.DataFrame(rows),
    )


def chains_table(scan: Scan) -> NamedTable:
    """A row per selected chain and task weights."""
    rows = []
    for group, table in _by_weights(scan.table, ["chain"]):
        rows.append(
            {
                "chain": group["chain"],
                **_weights(group),
                "runs": len(table),
                "methods": _counts(table["label"]),
                **_medians(table, scan.quantities.all, {}),
            }
        )
    last = scan.quantities.last
    found = pd.DataFrame(rows)
    if last is not None and len(found):
        names = [name for name in found if name == "v1" or str(name).startswith("weight of ")]
        found = found.sort_values(
            [*names, last.label],
            ascending=[*(True for _ in names), not last.higher_is_better],
            ignore_index=True,
        )
    return NamedTable(
        name="chains",
        title="Chains on test events",
        caption="The chains that runs ended with, all methods together, best first. Medians over "
        f"runs. {INTERVAL}: as above.",
        table=found,
    )


def missing_table(others: Sequence[OtherRun]) -> NamedTable:
    """A row per run without a result."""
    return NamedTable(
        name="missing",
        title="Runs without a result",
        caption="They are in no number and no figure of this report.",
        table=pd.DataFrame(
            [{"directory": str(one.directory), "reason": one.reason} for one in others],
            columns=["directory", "reason"],
        ),
    )


def _reference(table: pd.DataFrame) -> pd.Series:
    """Rows of the method that the others are compared with."""
    there = table["method"] == REFERENCE
    return there if there.any() else table["method"] == table["method"].iloc[0]


def _difference(
    table: pd.DataFrame,
    runs: Mapping[Any, FinishedRun],
    group: Mapping[str, Any],
    pairs: Sequence[tuple[Any, Any]],
    quantity: Quantity,
) -> list[dict[str, Any]]:
    """The row of one quantity, none if it is not there."""
    values = table[quantity.test]
    there = [(mine, its) for mine, its in pairs if pd.notna(values[mine]) and pd.notna(values[its])]
    if not there:
        return []
    differences = [float(values[mine] - values[its]) for mine, its in there]
    error = paired_sampling_error([(runs[mine], runs[its]) for mine, its in there], quantity)
    median = median_of(differences)
    return [
        {
            "method": group["label"],
            "reference": table["label"][there[0][1]],
            **_weights(group),
            "quantity": quantity.label,
            "better": {True: "higher", False: "lower", None: ""}[quantity.higher_is_better],
            "pairs": len(there),
            "median difference": _digits(median.median),
            INTERVAL: interval_text(median),
            "ahead": sum(value > 0 for value in differences)
            if quantity.higher_is_better is not False
            else sum(value < 0 for value in differences),
            "test error": None if error is None else _digits(error),
        }
    ]


def _test_errors(scan: Scan) -> dict[str, pd.Series]:
    """For each quantity, the test error of every run (missing where it is not known)."""
    return {
        one.name: pd.Series(
            [sampling_error(run, one) for run in scan.runs], index=scan.table.index, dtype=float
        )
        for one in scan.quantities.all
    }


def _medians(
    table: pd.DataFrame, quantities: Sequence[Quantity], errors: Mapping[str, pd.Series]
) -> dict[str, Any]:
    """Median, interval and, if known, median test error of each quantity."""
    found: dict[str, Any] = {}
    for one in quantities:
        values = table[one.test].dropna()
        if values.empty:
            continue
        median = median_of(values.tolist())
        found[one.label] = _digits(median.median)
        found[f"{one.label}, {INTERVAL}"] = interval_text(median)
        if one.name in errors and (known := errors[one.name][table.index].dropna()).size:
            found[f"{one.label}, test error"] = _digits(float(known.median()))
    return found


def interval_text(median: Median) -> str:
    """`low to high`, empty if there is no interval."""
    if median.low is None or median.high is None:
        return ""
    return f"{median.low:.4g} to {median.high:.4g}"


def _by_weights(
    table: pd.DataFrame, names: Sequence[str]
) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """Rows with the same `names` and task weights; missing weights are a value like any other."""
    weights = [name for name in table if str(name).startswith("weight/")]
    if table.empty:
        return []
    keys = [*names, *weights]
    rounded = table[keys].copy()
    rounded[weights] = rounded[weights].round(9)
    return [
        (dict(zip(keys, group, strict=True)), table.loc[part.index])
        for group, part in rounded.groupby(keys, dropna=False, sort=True)
    ]


def _weights(group: Mapping[str, Any]) -> dict[str, float]:
    """The column v1 for two tasks, one for each weight for more, none for one task."""
    weights = {name[7:]: value for name, value in group.items() if name.startswith("weight/")}
    if len(weights) == 2:
        return {"v1": next(iter(weights.values()))}
    if len(weights) < 2:
        return {}
    return {f"weight of {task}": float(f"{value:.3g}") for task, value in weights.items()}


def _counts(values: pd.Series) -> str:
    """`cnn-lstm 3, cnn-mlp 1`."""
    counts = values.value_counts()
    order = sorted(counts.items(), key=lambda item: (-int(item[1]), str(item[0])))
    return ", ".join(f"{name} {count}" for name, count in order)


def _digits(value: float) -> float:
    return float(f"{value:.4g}")
