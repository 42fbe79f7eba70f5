"""Trainings for all v1 at once: their fronts, their knees, the chains that win. No PyTorch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from msnas.report.alike import likeness, most_alike
from msnas.report.collect import FinishedRun
from msnas.report.figure import NothingToDraw
from msnas.report.loss_parameters import along
from msnas.report.outputs import key_of
from msnas.report.seconds import seconds_notes
from msnas.report.two_tasks import (
    TASK_WEIGHT,
    WEIGHTS,
    TwoTasks,
    fixed_weight,
    over_weights,
    two_tasks,
)
from msnas.results.front import FrontPoint, Recommended, mean_front, recommended_v1

Part = Literal["valid", "test"]
PARTS: tuple[Part, Part] = ("valid", "test")


@dataclass(frozen=True, kw_only=True)
class RunFront:
    """The front of one run."""

    seed: int
    key: str
    points: Sequence[FrontPoint]


@dataclass(frozen=True, kw_only=True)
class Winner:
    """At one v1: how many of the runs have a chain as the best; regret of the selected ones."""

    v1: float
    chains: Mapping[str, int]
    regrets: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class ConditionedFront:
    """Fronts by part: of runs for all v1 (`once`), and of runs at fixed v1, joined by seed."""

    tasks: TwoTasks
    once: Mapping[Part, Sequence[RunFront]]
    fixed: Mapping[Part, Sequence[RunFront]]
    recommended: Recommended
    winners: Sequence[Winner]
    selected: Mapping[str, int]
    notes: Sequence[str]

    def mean(self, part: Part) -> list[FrontPoint]:
        """Of the runs for all v1, at every v1."""
        return mean_front([one.points for one in self.once[part]])

    def fixed_mean(self, part: Part) -> list[FrontPoint]:
        """Of the runs at fixed v1, at every v1 there is."""
        points = [point for one in self.fixed[part] for point in one.points]
        found = []
        for v1 in sorted({point.v1 for point in points}):
            found += mean_front([[point] for point in points if point.v1 == v1])
        return found

    def differences(self, part: Part) -> list[FrontPoint]:
        """Runs for all v1 minus those at fixed v1: the mean over seeds that both have."""
        base = {(one.seed, one.points[0].v1): one.points[0] for one in self.fixed[part]}
        found: dict[float, list[FrontPoint]] = {}
        for run in self.once[part]:
            for point in run.points:
                if other := base.get((run.seed, point.v1)):
                    first, last = point.first - other.first, point.last - other.last
                    difference = FrontPoint(v1=point.v1, first=first, last=last)
                    found.setdefault(point.v1, []).append(difference)
        return [mean_front([[one] for one in found[v1]])[0] for v1 in sorted(found)]


def conditioned_front(runs: Sequence[FinishedRun]) -> ConditionedFront:
    """The largest group of runs for all v1, and the runs at fixed v1 that are else like them.

    Raises NothingToDraw if no run was trained for a range of v1.
    """
    tasks = two_tasks(runs)
    once, notes = most_alike([run for run in runs if over_weights(run)], ["task_weight"])
    if not once:
        raise NothingToDraw("no run was trained for a range of v1 (conditioning=yoto)")
    alike = likeness(once[0], WEIGHTS)
    fixed = [
        run for run in runs if fixed_weight(run) is not None and likeness(run, WEIGHTS) == alike
    ]
    fronts = {part: [_front(run, tasks, part) for run in once] for part in PARTS}
    if not all(one.points for one in fronts["valid"]):
        raise NothingToDraw("runs for a range of v1 without both tasks' validation numbers")
    return ConditionedFront(
        tasks=tasks,
        once=fronts,
        fixed={part: _fixed_fronts(fixed, tasks, part) for part in PARTS},
        recommended=recommended_v1(
            {place: one.points for place, one in _by_seed(fronts["valid"]).items()},
            **tasks.directions,
        ),
        winners=_winners(once),
        selected=Counter(" → ".join(run.selected) for run in once),
        notes=[*seconds_notes(fixed, once), *notes],
    )


def _front(run: FinishedRun, tasks: TwoTasks, part: Part) -> RunFront:
    points = [
        FrontPoint(v1=round(float(one["parameters"][TASK_WEIGHT]), 9), first=both[0], last=both[1])
        for one in over_weights(run)
        if (both := tasks.of(one.get(part, {}))) is not None
    ]
    return RunFront(seed=run.seed, key=key_of(run), points=points)


def _fixed_fronts(runs: Sequence[FinishedRun], tasks: TwoTasks, part: Part) -> list[RunFront]:
    """One front with one point for each run."""
    return [
        RunFront(
            seed=run.seed,
            key=key_of(run),
            points=[FrontPoint(v1=round(float(weight), 9), first=both[0], last=both[1])],
        )
        for run in runs
        if (weight := fixed_weight(run)) is not None
        and (both := tasks.of(run.result["metrics"].get(part, {}))) is not None
    ]


def _by_seed(fronts: Sequence[RunFront]) -> dict[int, RunFront]:
    """The first front of each seed."""
    found: dict[int, RunFront] = {}
    for one in fronts:
        found.setdefault(one.seed, one)
    return found


def _winners(runs: Sequence[FinishedRun]) -> list[Winner]:
    """What the ranking of the super-network tells; nothing for methods without one."""
    found: dict[float, list[tuple[str, float]]] = {}
    for run in runs:
        shown = [one["parameters"] for one in along(run, TASK_WEIGHT)]
        for one in run.result.get("winners") or []:
            if one["parameters"] in shown:
                chain = " → ".join(one["selected"][task] for task in run.tasks)
                v1 = round(float(one["parameters"][TASK_WEIGHT]), 9)
                found.setdefault(v1, []).append((chain, float(one["regret"])))
    return [
        Winner(
            v1=v1,
            chains=Counter(chain for chain, _ in found[v1]),
            regrets=[regret for _, regret in found[v1]],
        )
        for v1 in sorted(found)
    ]


def mean_regret(winner: Winner) -> float:
    """Of the selected chains, over runs."""
    return float(np.mean(winner.regrets))
