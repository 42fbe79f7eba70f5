"""Groups of runs that can be compared: runs that differ only in method and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msnas.results.alike import JUDGE, METHOD, Settings, alike, column, differing
from msnas.results.result import Result
from msnas.results.runs import OtherRun

TOLD = ("weight.", "task_weights.", "data.events")
"""Settings that the description of a group contains anyway, as it does the candidates."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs of one problem on the same events with the same task weights, candidates and recipe.

    `runs[label][seed]`: for labels see `alike.labels`. `own` are the settings in which the group
    differs from other groups of the same problem.
    """

    settings: Mapping[str, Any]
    runs: Mapping[str, Mapping[int, Result]]
    own: Mapping[str, Any]

    @property
    def first(self) -> Result:
        """The first run of the group."""
        return first_of(next(iter(self.runs.values())))

    def labels_of(self, method: str) -> list[str]:
        """The labels of a method."""
        return [label for label, runs in self.runs.items() if first_of(runs).method == method]

    def describe(self) -> str:
        """One line: problem, events, task weights, candidates, then the group's `own` settings."""
        run = self.first
        weights = ", ".join(f"{name} {value:g}" for name, value in run.task_weights.items())
        candidates = " x ".join("{" + ", ".join(names) + "}" for names in run.candidates)
        return "; ".join(
            [
                run.problem,
                f"{run.data.get('events', 'unknown')} events",
                f"weights {weights}",
                f"candidates {candidates}",
                *(f"{key}={value}" for key, value in self.own.items()),
            ]
        )

    def found(self) -> str:
        """The labels with their seeds, in one line."""
        return ", ".join(
            f"{label} (seeds {', '.join(map(str, runs))})" for label, runs in self.runs.items()
        )


def first_of(runs: Mapping[int, Result]) -> Result:
    """The run of the first seed."""
    return next(iter(runs.values()))


def group_runs(runs: Sequence[Result]) -> tuple[list[Group], list[OtherRun]]:
    """The groups, in the order of their first runs, and the runs that only repeat another run.

    Runs may differ in how validity is judged and in the batch size of the evaluation.
    """
    found = alike(runs, but_for=["seed", *METHOD, *JUDGE])
    settings: dict[str, list[Settings]] = {}
    for one in found:
        settings.setdefault(one.runs[0].problem, []).append(one.settings)
    own = {problem: iter(_own(same)) for problem, same in settings.items()}
    groups, repeats = [], []
    for one in found:
        runs_of = one.by_label(without=JUDGE)
        for label, run in one.labelled(without=JUDGE):
            if (first := runs_of[label][run.seed]) is not run:
                same = f"same settings and seed as {first.directory}"
                repeats.append(OtherRun(directory=run.directory, reason=same))
        groups.append(
            Group(settings=one.settings, runs=runs_of, own=next(own[one.runs[0].problem]))
        )
    return groups, repeats


def _own(groups: Sequence[Settings]) -> list[dict[str, Any]]:
    """For each group the settings in which other groups differ, without those of `TOLD`."""
    columns = {
        key: column(key, groups)
        for key in differing(groups)
        if not key.startswith(TOLD) and ".candidates" not in key
    }
    return [
        {key: values[place] for key, values in columns.items() if key in settings}
        for place, settings in enumerate(groups)
    ]
