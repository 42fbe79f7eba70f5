"""The page's view of a single run: files, settings, chains, learning curves, log."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from msnas.errors import DataError
from msnas.folders import entries
from msnas.report.config_difference import beside
from msnas.results.records import numbers_of
from msnas.results.result import Result
from msnas.storage import last_lines
from msnas.terminal import CHAIN, chain_name

SHOWN_FILES = (".yaml", ".json", ".jsonl", ".png", ".pdf", "log")
"""Endings of the files that the view of a run links."""

MOST_EPOCHS = 120
"""Most epochs of a learning curve; of a longer curve every second or third epoch is kept."""

MOST_LINES = 200
"""Most lines of a log."""

Curves = list[dict[str, Any]]


def anchors_of(runs: Sequence[Result]) -> list[str]:
    """A name for each run: its key, with a number added where two directories have the same key."""
    found: dict[str, None] = {}
    for run in runs:
        name = wanted = re.sub(r"[^A-Za-z0-9_-]", "_", run.key)
        count = 1
        while name in found:
            count += 1
            name = f"{wanted}-{count}"
        found[name] = None
    return list(found)


def run_view(run: Result, common: Mapping[str, Any], link: Any) -> dict[str, Any]:
    """All that the page shows of a run; `link` makes an address of a path."""
    folder = f"{link(run.directory)}/"
    return {
        "told": told(run),
        "directory": [str(run.directory), folder],
        "files": [[path.name, folder + quote(path.name)] for path in _files(run.directory)],
        "settings": beside(run.config, common),
        "chains": [
            {
                "stage": one["stage"],
                "chain": CHAIN.join(run.path_of(one["selected"])),
                "selected": "yes" if one["selected"] == run.selected else "",
                **numbers_of(one["valid"]),
            }
            for one in run.chains
        ],
        "numbers": numbers_of({"valid": run.valid, "test": run.test}),
        "curves": _curves(run),
        "log": _log(run.directory / "log"),
    }


def told(run: Result) -> str:
    """A run in one line of text."""
    folds = f", cross-fitted in {len(run.folds)} folds" if run.folds else ""
    again = ", once more for use (refit)" if run.refit else ""
    weights = f"weights {' / '.join(f'{one:.3g}' for one in run.weights)}"
    if len(run.weights) == 2:
        weights = f"v1 = {run.v1:.4g}"
    return f"{run.problem}, {run.method}, {weights}, seed {run.seed}, {run.chain}{folds}{again}"


def _files(folder: Path) -> list[Path]:
    return [
        path
        for path in entries(folder)
        if path.is_file() and path.name.endswith(SHOWN_FILES) and not path.name.startswith(".")
    ]


def _curves(run: Result) -> Curves:
    """For each training stage, model, epochs from 1 and numbers by name; empty if unreadable."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    try:
        history = run.history()
    except (DataError, OSError):
        return []
    for line in history:
        names = str(line.get("stage")), chain_name(str(line.get("model")))
        found.setdefault(names, []).append(line)
    curves = []
    for (stage, model), lines in found.items():
        kept = lines[:: -(-len(lines) // MOST_EPOCHS)]
        own = [numbers_of({**line, "time": None}) for line in kept]
        epochs = [numbers.pop("epoch", 0.0) + 1 for numbers in own]
        values = {
            name: [short(numbers.get(name, float("nan"))) for numbers in own]
            for name in dict.fromkeys(name for numbers in own for name in numbers)
        }
        curves.append({"stage": stage, "model": model, "epochs": epochs, "values": values})
    return curves


def short(value: float) -> float | None:
    """The value with five digits; None for NaN and infinity."""
    return float(f"{value:.5g}") if abs(value) < float("inf") else None


def _log(path: Path) -> str:
    """The last lines of a log; empty if it cannot be read."""
    try:
        return "\n".join(last_lines(path)[-MOST_LINES:]) if path.is_file() else ""
    except OSError:
        return ""
