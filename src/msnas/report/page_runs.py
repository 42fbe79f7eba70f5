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
from msnas.report.tables import NamedTable
from msnas.results.result import Result, best_of
from msnas.terminal import told

SHOWN_FILES = (".yaml", ".json", ".jsonl", ".png", ".pdf", "log")
"""Endings of what a run's section links to."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A run with its place on the page, and the settings it adds to those of its problem."""

    run: Result
    anchor: str
    config: str

    @property
    def chain(self) -> str:
        """The selected candidates."""
        return " → ".join(self.run.path)

    @property
    def weights(self) -> str:
        """The task weights in words."""
        if len(self.run.weights) == 2:
            return f"v1 = {self.run.v1:.4g}"
        return f"weights {joined(self.run.weights)}"

    @property
    def trained(self) -> str:
        """How often its chain was trained, in words; nothing if it was once."""
        folds = f", cross-fitted in {len(self.run.folds)} folds" if self.run.folds else ""
        return folds + (", once more for use (refit)" if self.run.refit else "")

    @property
    def files(self) -> list[Path]:
        """What its section links to."""
        return [
            path
            for path in entries(self.run.directory)
            if path.is_file() and path.name.endswith(SHOWN_FILES) and not path.name.startswith(".")
        ]


def places_of(runs: Sequence[Result], common: Mapping[str, Mapping[str, Any]]) -> list[Place]:
    """Every run with an anchor of its own, also if two directories hold the same run."""
    places: dict[str, Place] = {}
    for run in runs:
        anchor = wanted = anchor_of("run", run.key)
        count = 1
        while anchor in places:
            count += 1
            anchor = f"{wanted}-{count}"
        config = as_yaml(beside(run.config, common[run.problem]))
        places[anchor] = Place(run=run, anchor=anchor, config=config)
    return list(places.values())


def run_table(places: Sequence[Place]) -> NamedTable:
    """All runs, a row each, with the numbers of their selected chains."""
    rows = [
        {
            "run": place.run.key,
            "problem": place.run.problem,
            "method": place.run.method,
            "v1": place.run.v1 if len(place.run.weights) == 2 else joined(place.run.weights),
            "seed": place.run.seed,
            "selected": place.chain,
            **{
                f"{name}, {part}": value
                for name, values in place.run.scalars.items()
                for part, value in values.items()
            },
        }
        for place in places
    ]
    return NamedTable(
        name="of-runs",
        title="All runs",
        caption="The selected chain of every run; v1 is the first task's weight "
        "(all weights, for a chain that has more than two tasks).",
        table=pd.DataFrame(rows),
    )


def problem_summary(
    name: str, places: Sequence[Place], common: Mapping[str, Any]
) -> dict[str, Any]:
    """What was run for a problem, and its best chain with its `metric` on both parts."""
    mine = [place for place in places if place.run.problem == name]
    runs = [place.run for place in mine]
    best = next((place for place in mine if place.run is best_of(runs)), None)
    metric = best.run.judged or "" if best else ""
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
        "best": best,
        "metric": metric,
        "valid": told(best.run.valid[metric]) if best else "",
        "test": told(best.run.test.get(metric, math.nan)) if best else "",
        "common": as_yaml(common),
    }


def joined(weights: Sequence[float]) -> str:
    """Task weights, such as `0.2 / 0.3 / 0.5`."""
    return " / ".join(f"{one:.3g}" for one in weights)


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


def as_yaml(value: Mapping[str, Any]) -> str:
    """Settings as in a configuration file."""
    return yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True) if value else "nothing"
