"""What the page says of runs: a summary, a table, and a section each. Imports no PyTorch."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import yaml

from msnas.folders import entries
from msnas.report.config_difference import beside
from msnas.report.page_table import PageTable, number, page_table
from msnas.results.result import Result, best_of
from msnas.results.runs import OtherRun

SHOWN_FILES = (".yaml", ".json", ".jsonl", ".png", ".pdf", "log")
"""Endings of what a run's section links to."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A run with its place on the page."""

    run: Result
    anchor: str


def places_of(runs: Sequence[Result]) -> list[Place]:
    """Every run with an anchor of its own, also if two directories hold the same run."""
    places: list[Place] = []
    taken: set[str] = set()
    for run in runs:
        anchor = wanted = anchor_of("run", run.key)
        count = 1
        while anchor in taken:
            count += 1
            anchor = f"{wanted}-{count}"
        taken.add(anchor)
        places.append(Place(run=run, anchor=anchor))
    return places


def run_table(places: Sequence[Place], links: Mapping[str, str]) -> PageTable:
    """All runs, a row each, with the numbers of their selected chains."""
    rows = []
    for place in places:
        run = place.run
        metrics = {
            f"{name}, {part}": value
            for name, values in run.scalars.items()
            for part, value in values.items()
        }
        rows.append(
            {
                "run": run.key,
                "problem": run.problem,
                "method": run.method,
                "v1": run.v1 if len(run.weights) == 2 else _joined(run.weights),
                "seed": run.seed,
                "selected": " → ".join(run.path),
                **metrics,
            }
        )
    return page_table(
        pd.DataFrame(rows),
        anchor="table-of-runs",
        title="All runs",
        caption="The selected chain of every run; v1 is the first task's weight "
        "(all weights, for a chain that has more than two tasks).",
        links=links,
    )


def run_section(place: Place, common: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """A run's section: what it is, its files, and the settings it adds to the `common` ones."""
    run = place.run
    summary = (
        f"{run.key}: {run.problem}, {run.method}, {_weights_in_words(run)}, "
        f"seed {run.seed}, {' → '.join(run.path)}"
    )
    files = [path.name for path in entries(run.directory) if path.is_file()]
    return {
        "anchor": place.anchor,
        "key": run.key,
        "summary": summary,
        "link": link_to(run.directory, out) + "/",
        "directory": str(run.directory),
        "files": [
            {"link": link_to(run.directory / name, out), "name": name}
            for name in files
            if name.endswith(SHOWN_FILES) and not name.startswith(".")
        ],
        "common_anchor": anchor_of("common", run.problem),
        "config": _yaml(beside(run.config, common)),
    }


def other_run(other: OtherRun, out: Path) -> dict[str, str]:
    """A run that cannot be used, and why."""
    return {
        "link": link_to(other.directory, out) + "/",
        "name": str(other.directory),
        "reason": other.reason,
    }


def _weights_in_words(run: Result) -> str:
    if len(run.weights) == 2:
        return f"v1 = {run.v1:.4g}"
    return f"weights {_joined(run.weights)}"


def _joined(weights: Sequence[float]) -> str:
    return " / ".join(f"{one:.3g}" for one in weights)


def problem_summary(
    name: str, places: Sequence[Place], common: Mapping[str, Any]
) -> dict[str, Any]:
    """What was run for a problem, and its best chain."""
    mine = [place for place in places if place.run.problem == name]
    runs = [place.run for place in mine]
    best = best_of(runs)
    methods = sorted({run.method for run in runs})
    return {
        "name": name,
        "runs": len(runs),
        "methods": ", ".join(
            f"{one} ({sum(run.method == one for run in runs)})" for one in methods
        ),
        "first_task": runs[0].supervised[0],
        "weights": _listed({run.weights[0] for run in runs}),
        "seeds": _listed({run.seed for run in runs}),
        "best": next((_best(place) for place in mine if place.run is best), None),
        "common_anchor": anchor_of("common", name),
        "common": _yaml(common),
    }


def _best(place: Place) -> dict[str, str | int]:
    run = place.run
    metric = run.judged or ""
    return {
        "chain": " → ".join(run.path),
        "metric": metric,
        "valid": number(run.valid[metric]),
        "test": number(run.test.get(metric, math.nan)),
        "method": run.method,
        "weights": _weights_in_words(run),
        "seed": run.seed,
        "anchor": place.anchor,
        "key": run.key,
    }


def _listed(values: set[float] | set[int]) -> str:
    """All if they are few, else how many and from where to where."""
    if len(values) <= 12:
        return ", ".join(f"{one:.4g}" for one in sorted(values))
    return f"{len(values)} from {min(values):.4g} to {max(values):.4g}"


def anchor_of(kind: str, name: str) -> str:
    """An id that needs no escaping in an address."""
    return f"{kind}-{re.sub(r'[^A-Za-z0-9_-]', '_', name)}"


def link_to(path: Path, out: Path) -> str:
    """The way from the folder `out` to `path`, as an address."""
    return quote(Path(os.path.relpath(path.resolve(), out.resolve())).as_posix())


def _yaml(value: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True) if value else "nothing"
