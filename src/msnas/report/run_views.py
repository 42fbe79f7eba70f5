"""The page's view of a single run: files, settings, chains, learning curves, log."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from msnas.elsewhere import Begin, shares
from msnas.errors import DataError
from msnas.folders import entries
from msnas.report.config_difference import beside, common_part
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


@dataclass(frozen=True, kw_only=True)
class Views:
    """The views of single runs in JSON, in parts to wait for, and their `common` settings."""

    common: Mapping[str, Any]
    parts: Sequence[Callable[[], list[str]]]

    @classmethod
    def begun(cls, runs: Sequence[Result], out: Path, begin: Begin = partial) -> Views:
        """Begin the views of `runs` for a page in the folder `out`."""
        common = common_part([run.config for run in runs])
        parts = [begin(_views, one, common, out.resolve()) for one in shares(runs)]
        return cls(common=common, parts=parts)

    def text(self, names: Sequence[str]) -> str:
        """All views by the names of the runs."""
        texts = (one for part in self.parts for one in part())
        named = (f"{json_of(name)}:{one}" for name, one in zip(names, texts, strict=True))
        return f"{{{','.join(named)}}}"


def _views(runs: Sequence[Result], common: Mapping[str, Any], out: Path) -> list[str]:
    link = partial(link_to, out=out)
    return [json_of(run_view(run, common, link)) for run in runs]


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


def link_to(path: Path, out: Path) -> str:
    """The address of `path` in a link of a page in the folder `out`, which holds no links."""
    return quote(Path(os.path.relpath(path.resolve(), out)).as_posix())


def json_of(value: Any) -> str:
    """JSON without NaN and infinity, which JSON does not know."""
    plain = partial(json.dumps, separators=(",", ":"), allow_nan=False, default=str)
    try:
        return plain(value)
    except ValueError:  # NaN or infinity
        return plain(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None if value != value else str(value)
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


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
