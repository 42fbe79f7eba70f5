"""The tables of a report: methods, differences paired by seed, chains, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from msnas.results.statistics import LEVEL, Median, median_of, paired
from msnas.terminal import text_table

INTERVAL = f"{LEVEL * 100:g} %"

HOW = (
    f"{INTERVAL}: interval of the median over seeds, from order statistics, none below five seeds. "
    "Test error: one standard error from the choice of test events, the trained chains given "
    "(DeLong's of an AUC, binomial of a share); it does not shrink with more seeds."
)


@dataclass(frozen=True, kw_only=True)
class NamedTable:
    """A table with the name of its file, a heading, and a caption that says how to read it."""

    name: str
    title: str
    caption: str
    table: pd.DataFrame


def tables_of(runs: Runs) -> list[NamedTable]:
    """All tables that have a row; the runs are of one problem."""
    found = [methods_table(runs), differences_table(runs), chains_table(runs), choice_table(runs)]
    return [one for one in found if len(one.table)]


def methods_table(runs: Runs) -> NamedTable:
    """A row per method, with its settings, and task weights."""
    errors = _test_errors(runs)
    rows = []
    for group, table in _by_weights(runs, "method", "label"):
        seconds = table.get("seconds/total")
        rows.append(
            {
                **group,
                "runs": len(table),
                "chains": _counts(table["chain"]),
                **_medians(table, runs.quantities.all, errors),
                **({"seconds": round(float(seconds.median()), 1)} if seconds is not None else {}),
            }
        )
    return NamedTable(
        name="methods",
        title="Methods on test events",
        caption=f"Medians over seeds. {HOW} Seconds: all training, also what came from the cache.",
        table=pd.DataFrame(rows),
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
    rows = []
    for _, same in sorted(pairs.items(), key=lambda one: one[0]):
        run, base_run = same[0]
        fixed = {
            "method": labels[id(run)],
            "reference": labels[id(base_run)],
            **weights_of(run),
        }
        for quantity in runs.quantities.all:
            if (row := _difference(same, quantity)) is not None:
                rows.append({**fixed, **row})
    return NamedTable(
        name="differences",
        title="Differences of test numbers, paired by seed",
        caption="Method minus reference for runs with the same seed, events, task weights and "
        f"settings. {HOW}",
        table=pd.DataFrame(rows),
    )


def chains_table(runs: Runs) -> NamedTable:
    """A row per selected chain and task weights."""
    rows = []
    for group, table in _by_weights(runs, "chain", "chain"):
        rows.append(
            {
                **group,
                "runs": len(table),
                "methods": _counts(table["label"]),
                **_medians(table, runs.quantities.all, {}),
            }
        )
    last = runs.quantities.last
    found = pd.DataFrame(rows)
    if last is not None and len(found):
        names = [name for name in found if name == "v1" or str(name).startswith("weight of ")]
        found = found.sort_values(
            [*names, last.axis],
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


def choice_table(runs: Runs) -> NamedTable:
    """A row for each chain of every choice that alike runs of several seeds make together."""
    level = f"{CONFIDENCE * 100:g} %"
    rows, meanings = [], []
    for choice in choices_over_seeds(runs.finished):
        fixed = {
            "method": choice.label,
            **weights_of(choice.runs[0]),
            "seeds": len(choice.seeds),
            "events": choice.sure.events,
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
        table=pd.DataFrame(rows),
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


def as_rich(named: NamedTable) -> Table:
    """A table for the terminal: for its width without intervals and test errors."""
    shown = [name for name in named.table if not str(name).endswith(("test error", " %"))]
    there = named.table[shown].astype(object)
    return text_table(named.title, there.where(there.notna(), None).to_dict("records"))


def _variant(run: Result) -> dict[str, Any]:
    """The method with its settings."""
    return {key: value for key, value in settings_of(run).items() if within(key, METHOD)}


def _difference(
    pairs: Sequence[tuple[Result, Result]], quantity: Quantity
) -> dict[str, Any] | None:
    """What is known of the difference in one quantity; None if nothing is."""
    there = [pair for pair in pairs if None not in (quantity.of(pair[0]), quantity.of(pair[1]))]
    if not there:
        return None
    first, second = ([float(quantity.of(pair[side]) or 0) for pair in there] for side in (0, 1))
    found = paired(first, second, event_error=paired_event_error(there, quantity))
    return {
        "quantity": quantity.axis,
        "better": quantity.better,
        "pairs": len(there),
        "median difference": _digits(found.median.median),
        INTERVAL: interval_text(found.median),
        "ahead": sum(value * (quantity.sign or 1) > 0 for value in found.values),
        "test error": None if found.event_error is None else _digits(found.event_error),
    }


def _test_errors(runs: Runs) -> dict[str, pd.Series]:
    """For each quantity, the test error of every run (missing where it is not known)."""
    return {
        one.name: pd.Series(
            [event_error(run, one) for run in runs.finished], index=runs.wide.index, dtype=float
        )
        for one in runs.quantities.all
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
        found[one.axis] = _digits(median.median)
        found[f"{one.axis}, {INTERVAL}"] = interval_text(median)
        if one.name in errors and (known := errors[one.name][table.index].dropna()).size:
            found[f"{one.axis}, test error"] = _digits(float(known.median()))
    return found


def interval_text(median: Median) -> str:
    """`low to high`, empty if there is no interval."""
    if median.low is None or median.high is None:
        return ""
    return f"{median.low:.4g} to {median.high:.4g}"


def _by_weights(
    runs: Runs, name: str, column: str
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Rows of all runs with the same `column` and task weights; and these, the former as `name`."""
    if runs.finished:
        keys = pd.DataFrame(map(weights_of, runs.finished), index=runs.wide.index)
        keys.insert(0, name, runs.wide[column])
        for group, part in keys.groupby(list(keys), dropna=False, sort=True):
            yield dict(zip(keys, group, strict=True)), runs.wide.loc[part.index]


def weights_of(run: Result) -> dict[str, float]:
    """The column v1 for two tasks, one for each weight for more, none for one task."""
    weights = {task: round(weight, 9) for task, weight in run.task_weights.items()}
    if len(weights) == 2:
        return {"v1": next(iter(weights.values()))}
    return {f"weight of {task}": weights[task] for task in weights if len(weights) > 2}


def _counts(values: pd.Series) -> str:
    """`cnn-lstm 3, cnn-mlp 1`."""
    counts = values.value_counts()
    order = sorted(counts.items(), key=lambda item: (-int(item[1]), str(item[0])))
    return ", ".join(f"{name} {count}" for name, count in order)


def _digits(value: float) -> float:
    return float(f"{value:.4g}")
