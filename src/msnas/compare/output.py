"""A comparison as tables on the screen, as JSON and as CSV. Imports no PyTorch."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from msnas.compare.compared import Compared, Difference
from msnas.errors import DataError
from msnas.report.honest import recommended_table
from msnas.report.tables import as_rich
from msnas.results.constrained import Recommended
from msnas.results.quality import Agreement
from msnas.results.runs import OtherRun
from msnas.results.statistics import FEWEST_SEEDS, Estimate
from msnas.storage import whole
from msnas.terminal import say

INTERVALS = {
    "tau, regret, difference": "mean over seeds, Student t",
    "hit rate": "Clopper-Pearson",
    "test_error": "one standard error from the choice of test events, the trained chains given",
}

COLUMNS = (
    "group",
    "problem",
    "table",
    "method",
    "reference",
    "quantity",
    "better",
    "seeds",
    "mean",
    "low",
    "high",
    "random",
    "method_mean",
    "reference_mean",
    "test_error",
)


Row = TypeVar("Row", Agreement, Difference)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All groups in which there was something to compare, and what was asked for."""

    reference: str
    confidence: float
    finished: int
    others: Sequence[OtherRun]
    groups: Sequence[Compared]
    recommended: Sequence[Recommended] = ()


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Everything, seed by seed; what was not computed is absent."""
    return {
        "schema": 1,
        "reference": comparison.reference,
        "confidence": comparison.confidence,
        "fewest_seeds": FEWEST_SEEDS,
        "intervals": INTERVALS,
        "finished": comparison.finished,
        "others": [
            {"directory": str(other.directory), "reason": other.reason}
            for other in comparison.others
        ],
        "groups": [
            {
                "problem": one.group.first.problem,
                "settings": dict(one.group.settings),
                "runs": {
                    label: {str(seed): str(run.directory) for seed, run in runs.items()}
                    for label, runs in one.group.runs.items()
                },
                "agreement": [_agreement(row) for row in one.agreement],
                "performance": [_difference(row) for row in one.performance],
                "notes": list(one.notes),
            }
            for one in comparison.groups
        ],
        "recommended": [
            {
                "problem": one.runs[0].problem,
                "runs": [str(run.directory) for run in one.runs],
                **{name: getattr(one, name) for name in ("quantity", "seeds", "v1", "none")},
                "bounds": vars(one.bounds),
                "candidates": [vars(candidate) for candidate in one.candidates],
            }
            for one in comparison.recommended
        ],
    }


def write(comparison: Comparison, folder: Path) -> list[Path]:
    """Write compare.json and compare.csv into `folder`, over those of an earlier comparison.

    Raises DataError if that cannot be done.
    """
    content = as_json(comparison)
    paths = [folder / "compare.json", folder / "compare.csv"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            with whole(path, alone=False) as new, new.open("w", newline="") as file:
                if path.suffix == ".json":
                    json.dump(content, file, indent=1, allow_nan=False)
                    file.write("\n")
                else:
                    writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
                    writer.writeheader()
                    writer.writerows(_lines(content))
    except OSError as error:
        raise DataError(f"out: cannot write into {folder} ({error})") from error
    return paths


def show(comparison: Comparison, console: Console) -> None:
    """Print the tables of each group, the recommended v1, and the runs that were not used."""
    level = f"{comparison.confidence * 100:g} %"
    for one in comparison.groups:
        console.print(f"\n{one.group.describe()}", style="bold", highlight=False)
        if one.agreement:
            console.print(_agreement_table(one.agreement, level))
        for table in _performance_tables(one.performance, level):
            console.print(table)
        for note in one.notes:
            say(console, f"note: {note}")
    if comparison.recommended:
        told = recommended_table(comparison.recommended)
        console.print(as_rich(told))
        console.print(told.caption, highlight=False)
    console.print(
        f"\n{level} interval: Student t over seeds, of a hit rate Clopper-Pearson; none below "
        f"{FEWEST_SEEDS} seeds or where all seeds agree exactly. Test error: one standard error "
        "from the choice of test events, the trained chains given. Random: the exact expectation "
        "for a uniformly random chain.",
        highlight=False,
    )
    if comparison.others:
        console.print(f"\nNot used ({len(comparison.others)}):", highlight=False)
        for other in comparison.others:
            text = f"  {other.directory}: {other.reason}"
            say(console, text)


def _agreement_table(rows: Sequence[Agreement], level: str) -> Table:
    table = _table(
        "Searches against all chains trained with the same seed (validation data)",
        words=("quantity", "method"),
        numbers=("seeds", "mean", f"{level} interval", "random"),
    )
    by_quantity = _by_quantity(rows)
    for quantity in sorted(by_quantity, key=_place):
        for number, row in enumerate(by_quantity[quantity]):
            table.add_row(
                "" if number else quantity,
                row.method,
                str(len(row.seeds)),
                f"{row.estimate.mean:.4f}",
                _interval(row.estimate),
                f"{row.random:.4f}",
            )
        table.add_section()
    return table


def _performance_tables(rows: Sequence[Difference], level: str) -> Iterator[Table]:
    for quantity, same in _by_quantity(rows).items():
        better = "higher" if same[0].higher_is_better else "lower"
        table = _table(
            f"Test {quantity} ({better} is better) against {same[0].reference}, "
            "paired by seed and event",
            words=("method",),
            numbers=("seeds", "mean", "difference", f"{level} interval", "test error"),
        )
        for row in same:
            table.add_row(
                row.method,
                str(len(row.seeds)),
                f"{row.paired.first_mean:.4f}",
                f"{row.paired.mean.mean:+.4f}",
                _interval(row.paired.mean, "+"),
                "-" if row.paired.event_error is None else f"{row.paired.event_error:.4f}",
            )
        yield table


def _place(quantity: str) -> tuple[int, bool]:
    """Rankings first, then regrets, then hits."""
    return ("tau", "regret", "hit").index(quantity.split(" ")[0]), "probabilities" in quantity


def _by_quantity(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows of one quantity together, so that methods stand next to each other."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.quantity, []).append(row)
    return found


def _table(title: str, *, words: Sequence[str], numbers: Sequence[str]) -> Table:
    """An empty table whose numbers stay whole on a narrow screen."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for column in words:
        table.add_column(column, overflow="fold")
    for column in numbers:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _interval(estimate: Estimate, sign: str = "") -> str:
    if estimate.low is None or estimate.high is None:
        return "-"
    low, high = (format(value, f"{sign}.4f") for value in (estimate.low, estimate.high))
    return f"{low} to {high}"


def _agreement(row: Agreement) -> dict[str, Any]:
    return {
        "method": row.method,
        "quantity": row.quantity,
        **_over_seeds(row.seeds, row.values, row.estimate),
        "random": row.random,
    }


def _difference(row: Difference) -> dict[str, Any]:
    found = row.paired
    return {
        "method": row.method,
        "reference": row.reference,
        "quantity": row.quantity,
        "better": "higher" if row.higher_is_better else "lower",
        **_over_seeds(row.seeds, found.values, found.mean),
        "method_mean": found.first_mean,
        "reference_mean": found.second_mean,
        **({} if found.event_error is None else {"test_error": found.event_error}),
    }


def _over_seeds(
    seeds: Sequence[int], values: Sequence[float], estimate: Estimate
) -> dict[str, Any]:
    interval = {} if estimate.low is None else {"low": estimate.low, "high": estimate.high}
    return {"seeds": list(seeds), "values": list(values), "mean": estimate.mean, **interval}


def _lines(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of all groups with the columns of the CSV file; `seeds` is their number."""
    for number, group in enumerate(content["groups"]):
        for table in ("agreement", "performance"):
            for row in group[table]:
                line = {key: value for key, value in row.items() if key in COLUMNS}
                yield {
                    "group": number,
                    "problem": group["problem"],
                    "table": table,
                    **line,
                    "seeds": len(row["seeds"]),
                }
