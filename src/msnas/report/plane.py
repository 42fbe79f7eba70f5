"""Runs in the plane of two tasks' test numbers. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from msnas.report.chosen import number_of_runs
from msnas.report.collect import FinishedRun
from msnas.report.outputs import key_of
from msnas.report.two_tasks import TASK_WEIGHT, TwoTasks, fixed_weight, over_weights

LONGEST = 2.0
"""If untrained tasks at weight 0 or 1 make an axis longer than this, the axis leaves them out."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Both test numbers of a run; `weight` of the first task, None if it is no fixed one."""

    first: float
    last: float
    weight: float | None
    key: str
    told: str


@dataclass(frozen=True, kw_only=True)
class Series:
    """Runs of one kind; those with weights are joined."""

    label: str
    joined: bool
    places: Sequence[Place]

    def medians(self) -> list[Place]:
        """Median of both numbers at each weight, in the order of the weights."""
        groups: dict[float | None, list[Place]] = {}
        for one in self.places:
            groups.setdefault(one.weight, []).append(one)
        return [
            Place(
                first=float(np.median([one.first for one in groups[weight]])),
                last=float(np.median([one.last for one in groups[weight]])),
                weight=weight,
                key="",
                told=f"median of {number_of_runs(len(groups[weight]))}",
            )
            for weight in sorted(groups, key=lambda weight: -1.0 if weight is None else weight)
        ]


def places_of(run: FinishedRun, tasks: TwoTasks) -> list[Place]:
    """The run in the plane, at every weight it was judged at."""
    numbers: list[tuple[float | None, tuple[float, float] | None]] = [
        (float(one["parameters"][TASK_WEIGHT]), tasks.of(one["test"])) for one in over_weights(run)
    ]
    if not numbers:
        numbers = [(fixed_weight(run), tasks.of(run.result["metrics"].get("test", {})))]
    return [
        Place(
            first=both[0],
            last=both[1],
            weight=None if weight is None else round(weight, 9),
            key=key_of(run),
            told=f"seed {run.seed}" + ("" if weight is None else f", weight {weight:g}"),
        )
        for weight, both in numbers
        if both is not None
    ]


def limits_of(
    series: Sequence[Series], tasks: TwoTasks
) -> tuple[tuple[tuple[float, float] | None, tuple[float, float] | None], list[str]]:
    """Limits without the runs in which one task has no weight, if those flatten the rest."""
    everything = [place for one in series for place in one.places]
    inner = [place for place in everything if place.weight not in (0.0, 1.0)]
    found: list[tuple[float, float] | None] = []
    for name in ("first", "last"):
        own = [getattr(place, name) for place in inner]
        whole = [getattr(place, name) for place in everything]
        limits = None
        if len(own) > 1:
            low, high = min(own), max(own)
            margin = 0.08 * (high - low)
            if max(whole) - min(whole) > LONGEST * (high - low) > 0:
                limits = (low - margin, high + margin)
        found.append(limits)
    notes = []
    first, last = found
    for one in series:
        out = [
            place
            for place in one.medians()
            if _outside(place.first, first) or _outside(place.last, last)
        ]
        for place in out:
            notes.append(
                f"Beyond the axes: {one.label} at {place.weight:g} "
                f"({tasks.first.label} {place.first:.3g}, {tasks.last.label} {place.last:.3g})."
            )
    return (first, last), notes


def _outside(value: float, limits: tuple[float, float] | None) -> bool:
    return limits is not None and not limits[0] <= value <= limits[1]
