"""The report's tables on intermediate outputs, and on the v1 to recommend for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from msnas.report.tables import KEYS, NamedTable, weights_of
from msnas.results.alike import labels
from msnas.results.constrained import Recommended
from msnas.results.result import Result
from msnas.results.runs import Runs


def honesty_tables_of(runs: Runs, recommended: Sequence[Recommended]) -> list[NamedTable]:
    """Interventions, leakage and the recommended v1 of one problem's runs; a table may be empty."""
    return [interventions_table(runs), leakage_table(runs), recommended_table(recommended)]


def interventions_table(runs: Runs) -> NamedTable:
    """A row per method, task weights and group of numbers that the truth replaces."""
    rows = [
        {
            **fixed,
            "truth of": row["name"],
            "quantity": name,
            "with it": row["values"][name],
            "difference": row["values"][name] - run.interventions["base"][name],
            "test error": row["errors"][name],
        }
        for run, fixed in _identified(runs)
        if run.interventions
        for row in run.interventions["groups"]
        for name in run.interventions["base"]
    ]
    return _over_seeds(
        rows,
        ["with it", "difference", "test error"],
        name="interventions",
        title="What perfect intermediate outputs would be worth",
        caption="The last task's test numbers with the truth in place of earlier outputs, and the "
        "difference to the chain as it is. Medians over seeds. Test error: one standard error of "
        "the difference from the choice of test events, paired.",
    )


def leakage_table(runs: Runs) -> NamedTable:
    """A row per method, task weights and task."""
    rows = [
        {
            **fixed,
            "task": task,
            "in the output": one["output"],
            "in the truth": one["truth"],
            "leakage": one["leakage"],
            "low": one["low"],
            "high": one["high"],
        }
        for run, fixed in _identified(runs)
        for task, one in run.leakage("test").items()
    ]
    return _over_seeds(
        rows,
        ["in the output", "in the truth", "leakage", "low", "high"],
        name="leakage",
        title="Leakage of intermediate outputs",
        caption="Information on the last task's classes in the output and in the truth of a task, "
        "in shares of all there is, as probes of equal size read it from test events; leakage: "
        "what the output has more. Medians over seeds; low and high: of the runs' 95 % intervals.",
    )


def recommended_table(recommended: Sequence[Recommended]) -> NamedTable:
    """A row per method and v1 that could be recommended."""
    told = labels([one.runs[0] for one in recommended])
    rows = [
        {
            "method": label + (", one training (YOTO)" if one.runs[0].conditioned else ""),
            "v1": candidate.v1,
            "best": "yes" if candidate.v1 == one.v1 else "",
            "chosen": candidate.share,
            one.quantity: candidate.value,
            "validity": candidate.validity,
            "leakage": candidate.leakage,
            "leakage, 95 %": _interval(candidate.low, candidate.high),
            "misses": ", ".join(candidate.refused),
            "seeds": one.seeds,
            KEYS: [run.key for run in one.runs],
        }
        for one, label in zip(recommended, told, strict=True)
        for candidate in one.candidates
    ]
    return NamedTable(
        name="recommended",
        title="The v1 to recommend",
        caption=_how(recommended[0]) if recommended else "",
        rows=pd.DataFrame(rows).dropna(axis=1, how="all"),
    )


def _how(one: Recommended) -> str:
    return (
        "The best last task among the v1 with a joint validity of at least "
        f"{one.bounds.validity:g} (where it is judged) and a leakage whose 95 % interval "
        f"touches {one.bounds.leakage:g}; "
        "all on validation events, means over seeds. Chosen: share of resamplings of events and "
        "seeds that choose this v1; what is missing to 1 allowed none."
    )


def _interval(low: float | None, high: float | None) -> str | None:
    return None if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _identified(runs: Runs) -> Iterator[tuple[Result, dict[str, Any]]]:
    """Each run with the columns that identify its row: method, task weights, key."""
    for run, label in zip(runs.finished, runs.wide.get("label", ()), strict=True):
        yield run, {"method": label, **weights_of(run), KEYS: [run.key]}


def _over_seeds(
    rows: Sequence[Mapping[str, Any]], numbers: Sequence[str], **words: str
) -> NamedTable:
    """A table of medians of `numbers` over rows that are equal in all other columns."""
    table = pd.DataFrame(rows)
    by = [str(name) for name in table if name not in (*numbers, KEYS)]
    medians = {name: ("median", name) for name in numbers}
    return NamedTable(rows=table, by=by, numbers={"runs": ("size", KEYS), **medians}, **words)
