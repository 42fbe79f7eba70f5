"""Writes a comparison as tables on the screen, as JSON and as CSV. Imports no PyTorch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from msnas.compare.compared import Compared, Row
from msnas.errors import DataError
from msnas.report.honest import recommended_table
from msnas.report.tables import as_rich
from msnas.results.constrained import Recommended
from msnas.results.hypervolume import Fronts
from msnas.results.runs import OtherRun
from msnas.results.statistics import FEWEST_SEEDS
from msnas.storage import whole
from msnas.terminal import say, text_table

INTERVALS = {
    "tau, regret, difference": "mean over seeds, Student t",
    "hit rate": "Clopper-Pearson",
    "test_error": "one standard error from the choice of test events, the trained chains given",
}

COLUMNS = [
    *("group", "problem", "table", "method", "reference", "quantity", "better", "seeds"),
    *("mean", "low", "high", "random", "method_mean", "reference_mean", "test_error"),
]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The groups of runs with their comparisons, and the settings of the comparison."""

    reference: str
    confidence: float
    finished: int
    others: Sequence[OtherRun]
    groups: Sequence[Compared]
    recommended: Sequence[Recommended] = ()
    fronts: Sequence[Fronts] = ()


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The content of compare.json, seed by seed; numbers that were not computed are absent."""
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
                "agreement": one.agreement,
                "performance": one.performance,
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
        "fronts": [
            {
                "problem": one.runs[0].problem,
                "runs": [str(run.directory) for run in one.runs],
                "quantities": [quantity.name for quantity in one.quantities],
                "v1": list(one.v1),
                "hypervolume": list(one.rows),
            }
            for one in comparison.fronts
        ],
    }


def write(comparison: Comparison, folder: Path) -> list[Path]:
    """Write compare.json and compare.csv into `folder`, over those of an earlier comparison.

    Raises DataError if the folder cannot be written.
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
                    _lines(content).to_csv(file, index=False, lineterminator="\n")
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
    for fronts in comparison.fronts:
        console.print(_fronts_table(fronts, level))
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


def _agreement_table(rows: Sequence[Row], level: str) -> Table:
    """Rankings first, then regrets, then hits; methods of one quantity next to each other."""
    kinds = ("tau", "regret", "hit")
    order = list(dict.fromkeys(row["quantity"] for row in rows))
    order.sort(key=lambda name: (kinds.index(name.split(" ")[0]), "probabilities" in name))
    return text_table(
        "Searches against all chains trained with the same seed (validation data)",
        (
            {
                "quantity": "" if number else quantity,
                "method": row["method"],
                "seeds": len(row["seeds"]),
                "mean": f"{row['mean']:.4f}",
                f"{level} interval": _interval(row),
                "random": f"{row['random']:.4f}",
            }
            for quantity in order
            for number, row in enumerate(row for row in rows if row["quantity"] == quantity)
        ),
    )


def _performance_tables(rows: Sequence[Row], level: str) -> Iterator[Table]:
    for quantity in dict.fromkeys(row["quantity"] for row in rows):
        same = [row for row in rows if row["quantity"] == quantity]
        yield text_table(
            f"Test {quantity} ({same[0]['better']} is better) against {same[0]['reference']}, "
            "paired by seed and event",
            (
                {
                    "method": row["method"],
                    "seeds": len(row["seeds"]),
                    "mean": f"{row['method_mean']:.4f}",
                    "difference": f"{row['mean']:+.4f}",
                    f"{level} interval": _interval(row, "+"),
                    "test error": f"{row['test_error']:.4f}" if "test_error" in row else "",
                }
                for row in same
            ),
        )


def _fronts_table(fronts: Fronts, level: str) -> Table:
    first, last = (one.name for one in fronts.quantities)
    weights = ", ".join(f"{one:g}" for one in fronts.v1)
    return text_table(
        f"Hypervolume of the test front of {first} and {last} at v1 = {weights} (1: the best "
        "number of any run in both), and its difference to a training for each v1, paired by seed",
        (
            {
                "training": row["method"],
                "seeds": len(row["seeds"]),
                "mean": f"{row['mean']:.4f}",
                f"{level} interval": _interval(row),
                "difference": f"{row['difference']['mean']:+.4f}" if "difference" in row else "",
                "its interval": _interval(row["difference"], "+") if "difference" in row else "",
            }
            for row in fronts.rows
        ),
    )


def _interval(row: Mapping[str, Any], sign: str = "") -> str:
    return f"{row['low']:{sign}.4f} to {row['high']:{sign}.4f}" if "low" in row else ""


def _lines(content: Mapping[str, Any]) -> pd.DataFrame:
    """The rows of all groups with the columns of the CSV file; `seeds` is the number of seeds."""
    rows = [
        {"group": number, "problem": group["problem"], "table": name}
        | {**row, "seeds": len(row["seeds"])}
        for number, group in enumerate(content["groups"])
        for name in ("agreement", "performance")
        for row in group[name]
    ]
    return pd.DataFrame(rows, columns=COLUMNS)
