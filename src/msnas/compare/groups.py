"""Which runs a method's can be compared with: those alike but for method and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msnas.results.alike import JUDGE, METHOD, Settings, alike, column, differing
from msnas.results.result import Result
from msnas.results.runs import OtherRun

TOLD = ("weight.", "task_weights.", "data.events")
"""Settings that the description of a group tells anyway; candidates are as well."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs of one problem on the same events with the same task weights, candidates, recipe.

    `runs[label][seed]`: see `alike.labels`. `own` are the settings in which it differs from the
    other groups of its problem.
    """

    settings: Mapping[str, Any]
    runs: Mapping[str, Mapping[int, Result]]
    own: Mapping[str, Any]

    @property
    def first(self) -> Result:
        """One of the runs."""
        return first_of(next(iter(self.runs.values())))

    def labels_of(self, method: str) -> list[str]:
        """The labels of a method."""
        return [label for label, runs in self.runs.items() if first_of(runs).method == method]

    def describe(self) -> str:
        """Problem, events, task weights and candidates in one line, then what is its own."""
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
    """The groups, in the order of their first runs, and the runs that only repeat another one.

    What decides nothing may differ: how validity is judged, and how many events at a time.
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
    """Of each group the settings that another has otherwise, but for what is told anyway."""
    columns = {
        key: column(key, groups)
        for key in differing(groups)
        if not key.startswith(TOLD) and ".candidates" not in key
    }
    return [
        {key: values[place] for key, values in columns.items() if key in settings}
        for place, settings in enumerate(groups)
    ]
