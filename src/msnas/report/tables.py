"""The tables of a report: methods, differences paired by seed, chains, and what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd
from rich.table import Table

from msnas.confidence import CONFIDENCE
from msnas.results.alike import METHOD, alike, settings_of, within
from msnas.results.choice import choices_over_seeds
from msnas.results.event_error import event_error, paired_event_error
from msnas.results.quality import TABLE_METHOD
from msnas.results.quantity import Quantity
from msnas.results.result import Result
from msnas.results.runs import OtherRun, Runs
from msnas.results.statistics import LEVEL, median_of
from msnas.terminal import text_table

INTERVAL = f"{LEVEL * 100:g} %"

HOW = (
    f"{INTERVAL}: interval of the median over seeds, from order statistics, none below five seeds. "
    "Test error: one standard error from the choice of test events, the trained chains given "
    "(DeLong's of an AUC, binomial of a share); it does not shrink with more seeds."
)

KEYS = "keys"
"""The column with the keys of the runs that a row is about."""


def _median(values: pd.Series) -> float | None:
    known = values.dropna()
    return None if known.empty else float(known.median())


def _rounded(values: pd.Series) -> float | None:
    """The median with four digits."""
    median = _median(values)
    return None if median is None else float(f"{median:.4g}")


def _interval(values: pd.Series) -> str | None:
    """`low to high`, None if there is no interval."""
    known = values.dropna()
    if known.empty or (one := median_of(known.tolist())).low is None:
        return None
    return f"{one.low:.4g} to {one.high:.4g}"


def _counts(values: pd.Series) -> str:
    """The values and how often each occurs, such as `cnn-lstm 3, cnn-mlp 1`."""
    order = sorted(values.value_counts().items(), key=lambda item: (-int(item[1]), str(item[0])))
    return ", ".join(f"{name} {count}" for name, count in order)


STATISTICS: Mapping[str, Callable[[pd.Series], Any]] = {
    "median": _median,
    "rounded": _rounded,
    "interval": _interval,
    "counts": _counts,
    "size": len,
    "positive": lambda values: int((values > 0).sum()),
    "whole": lambda values: values.iloc[0],
}
"""Statistics by name: a number of a table from the values of its rows; `whole` needs all rows.

The page computes them anew for the runs that are shown (`statistics` in template/tables.js).
"""


@dataclass(frozen=True, kw_only=True)
class NamedTable:
    """A table with the name of its file, a heading, and a caption that says how to read it.

    Without `by` the table shows `rows`. With `by` it has a row for each group of `rows` that are
    equal in these columns; `numbers` gives for each further column a statistic (of `STATISTICS`)
    and the column of `rows` that it is taken of. The column `KEYS` holds the keys of a row's runs.
    """

    name: str
    title: str
    caption: str
    rows: pd.DataFrame
    by: Sequence[str] = ()
    numbers: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @cached_property
    def table(self) -> pd.DataFrame:
        """The table of all runs; a number that no run has gets no column."""
        if not self.by or self.rows.empty:
            return self.rows.drop(columns=KEYS, errors="ignore")
        found = [
            dict(zip(self.by, group, strict=True))
            | {name: STATISTICS[how](part[of]) for name, (how, of) in self.numbers.items()}
            for group, part in self.rows.groupby(list(self.by), sort=False, dropna=False)
        ]
        table = pd.DataFrame(found)
        empty = [name for name in self.numbers if table[name].isna().all()]
        return table.drop(columns=empty)


def tables_of(runs: Runs) -> list[NamedTable]:
    """The tables of the runs of one problem; a table may have no row."""
    return [methods_table(runs), differences_table(runs), chains_table(runs), choice_table(runs)]


def methods_table(runs: Runs) -> NamedTable:
    """A row per method (with the settings in which its runs differ) and task weights."""
    rows = run_rows(runs, {"method": "label"})
    errors = [
        {f"error/{one.name}": event_error(run, one) for one in runs.quantities.all}
        for run in runs.finished
    ]
    rows = rows.join(pd.DataFrame(errors, index=rows.index))
    return NamedTable(
        name="methods",
        title="Methods on test events",
        caption=f"Medians over seeds. {HOW} Seconds: all training, also what came from the cache.",
        rows=rows.sort_values(_by(rows, "method"), kind="stable"),
        by=_by(rows, "method"),
        numbers={
            "runs": ("size", KEYS),
            "chains": ("counts", "chain"),
            **_numbers(runs, rows),
            **({"seconds": ("rounded", "seconds/total")} if "seconds/total" in rows else {}),
        },
    )


def differences_table(runs: Runs) -> NamedTable:
    """A row per method, task weights and quantity: its test number minus the reference's.

    The reference is grid search, or the first run's method, with the settings it has there.
    """
    own = [run for run in runs.finished if run.method == TABLE_METHOD]
    reference = _variant([*own, *runs.finished][0]) if runs.finished else {}
    labels = dict(zip(map(id, runs.finished), runs.wide.get("label", ()), strict=True))
    pairs: dict[tuple[Any, ...], list[tuple[Result, Result]]] = {}
    for group in alike(runs.finished, but_for=["seed", *METHOD]):
        base = {run.seed: run for run in group.runs if _variant(run) == reference}
        for run in group.runs:
            if run.seed in base and _variant(run) != reference:
                weights = [round(one, 9) for one in run.task_weights.values()]
                pairs.setdefault((labels[id(run)], *weights), []).append((run, base[run.seed]))
    rows = [
        {
            "method": labels[id(same[0][0])],
            "reference": labels[id(same[0][1])],
            **weights_of(same[0][0]),
            **row,
        }
        for _, same in sorted(pairs.items(), key=lambda one: one[0])
        for quantity in runs.quantities.all
        for row in _differences(same, quantity)
    ]
    told = weights_of(runs.finished[0]) if runs.finished else {}
    return NamedTable(
        name="differences",
        title="Differences of test numbers, paired by seed",
        caption="Method minus reference for runs with the same seed, events, task weights and "
        f"settings. {HOW}",
        rows=pd.DataFrame(rows),
        by=["method", "reference", *told, "quantity", "better"],
        numbers={
            "pairs": ("size", KEYS),
            "median difference": ("rounded", "difference"),
            INTERVAL: ("interval", "difference"),
            "ahead": ("positive", "gain"),
            "test error": ("whole", "error"),
        },
    )


def chains_table(runs: Runs) -> NamedTable:
    """A row per selected chain and task weights."""
    rows, last = run_rows(runs, {"chain": "chain", "label": "label"}), runs.quantities.last
    by = _by(rows, "chain")
    if last is not None and last.test in rows:
        middle = rows.groupby(by, dropna=False)[last.test].transform("median")
        order = [*by[1:], "middle", "chain"]
        up = [*(True for _ in by[1:]), not last.higher_is_better, True]
        rows = rows.assign(middle=middle).sort_values(order, ascending=up, kind="stable")
    return NamedTable(
        name="chains",
        title="Chains on test events",
        caption="The chains that runs ended with, all methods together, best first. Medians over "
        f"runs. {INTERVAL}: as above.",
        rows=rows,
        by=by,
        numbers={
            "runs": ("size", KEYS),
            "methods": ("counts", "label"),
            **_numbers(runs, rows),
        },
    )


def choice_table(runs: Runs) -> NamedTable:
    """A row for each chain of each choice that runs make together which differ only in the seed."""
    level = f"{CONFIDENCE * 100:g} %"
    rows, meanings = [], []
    for choice in choices_over_seeds(runs.finished):
        fixed = {
            "method": choice.label,
            **weights_of(choice.runs[0]),
            "seeds": len(choice.seeds),
            "events": choice.sure.events,
            KEYS: [run.key for run in choice.runs],
        }
        meanings.append(f"{choice.title}: {' '.join(choice.words())}")
        for row in choice.rows():
            marks = {name: "yes" if row[name] else "" for name in ("tie set", "default")}
            rows.append({**fixed, **row, **marks})
    return NamedTable(
        name="choice",
        title="How sure the choices are",
        caption="On validation events. P(best): that no chain has a lower expected loss. Regret: "
        f"by how much its loss is above the lowest, low to high with {level}. Tie set: the "
        f"smallest that holds the best with {level}. {' '.join(meanings)}",
        rows=pd.DataFrame(rows),
    )


def missing_table(others: Sequence[OtherRun]) -> NamedTable:
    """A row per run without a result."""
    return NamedTable(
        name="missing",
        title="Runs without a result",
        caption="They are in no number and no figure of this report.",
        rows=pd.DataFrame(
            [{"directory": str(one.directory), "reason": one.reason} for one in others],
            columns=["directory", "reason"],
        ),
    )


def as_rich(named: NamedTable) -> Table:
    """The table for the terminal, without intervals and test errors, for which it is too narrow."""
    shown = [name for name in named.table if not str(name).endswith(("test error", " %"))]
    there = named.table[shown].astype(object)
    return text_table(named.title, there.where(there.notna(), None).to_dict("records"))


def run_rows(runs: Runs, columns: Mapping[str, str]) -> pd.DataFrame:
    """A row per run: columns of `runs.wide` under new names, task weights, key, numbers."""
    wide = runs.wide
    told = pd.DataFrame(map(weights_of, runs.finished), index=wide.index)
    names = [one.test for one in runs.quantities.all if one.test in wide]
    further = [name for name in ("chain", *names, "seconds/total") if name in wide]
    return pd.DataFrame(
        {
            **{name: wide[of] for name, of in columns.items()},
            **told,
            **{name: wide[name] for name in further},
            KEYS: [[key] for key in wide["key"]],
        }
    )


def weights_of(run: Result) -> dict[str, float]:
    """The column v1 for two tasks, one for each weight for more, none for one task."""
    weights = {task: round(weight, 9) for task, weight in run.task_weights.items()}
    if len(weights) == 2:
        return {"v1": next(iter(weights.values()))}
    return {f"weight of {task}": weights[task] for task in weights if len(weights) > 2}


def _by(rows: pd.DataFrame, first: str) -> list[str]:
    """The columns by which rows are grouped: the first column and the task weights."""
    weights = [str(name) for name in rows if name == "v1" or str(name).startswith("weight of ")]
    return [first, *weights]


def _numbers(runs: Runs, rows: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Median, interval and, if known, median test error of each quantity."""
    found: dict[str, tuple[str, str]] = {}
    for one in runs.quantities.all:
        if one.test in rows:
            found[one.axis] = ("rounded", one.test)
            found[f"{one.axis}, {INTERVAL}"] = ("interval", one.test)
            if f"error/{one.name}" in rows:
                found[f"{one.axis}, test error"] = ("rounded", f"error/{one.name}")
    return found


def _variant(run: Result) -> dict[str, Any]:
    """The method with its settings."""
    return {key: value for key, value in settings_of(run).items() if within(key, METHOD)}


def _differences(
    pairs: Sequence[tuple[Result, Result]], quantity: Quantity
) -> list[dict[str, Any]]:
    """A row for each pair that has the quantity."""
    numbers = [(pair, quantity.of(pair[0]), quantity.of(pair[1])) for pair in pairs]
    known = [(pair, own - its) for pair, own, its in numbers if own is not None and its is not None]
    error = paired_event_error([pair for pair, _ in known], quantity) if known else None
    return [
        {
            "quantity": quantity.axis,
            "better": quantity.better,
            "difference": difference,
            "gain": difference * (quantity.sign or 1),
            "error": None if error is None else float(f"{error:.4g}"),
            KEYS: [pair[0].key],
        }
        for pair, difference in known
    ]
