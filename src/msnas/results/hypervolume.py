"""The quality of a front along v1: the hypervolume that the front dominates. Imports no PyTorch.

The area that a front's points dominate, up to a reference point that all fronts of a group share:
the worst number of each task in any of these fronts. In units of the box from the reference point
to the best numbers, so from 0 to 1. Computed by the library moocore.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from msnas.results.alike import JUDGE, OWN_COLUMNS, SPLIT, WEIGHTS, alike, labels
from msnas.results.quantity import Quantity, number_of, quantity_of
from msnas.results.result import TASK_WEIGHT, Result
from msnas.results.statistics import mean_estimate

FIXED = "a training for each v1"

Front = dict[float, tuple[float, float]]
"""The numbers of the first and the last task by v1."""


@dataclass(frozen=True, kw_only=True)
class Fronts:
    """Fronts of test numbers at the same `v1`, of runs that differ only in how v1 is trained.

    `rows` hold method, seeds, values, mean, and the interval if there is one. A row of trainings
    for all v1 at once also has `against`, the method of the trainings for each v1, and
    `difference`, the same numbers of the differences to these trainings, paired by seed.
    """

    quantities: tuple[Quantity, Quantity]
    runs: Sequence[Result]
    v1: Sequence[float]
    rows: Sequence[Mapping[str, Any]]


def fronts_of(runs: Sequence[Result], *, confidence: float) -> list[Fronts]:
    """The fronts of each group of two-task runs that differ only in seed, split and weights.

    A group needs two ways to a front, such as one training for all v1 and a training for each v1.
    """
    usable = [run for run in runs if len(run.supervised) == 2]
    found = []
    for group in alike(usable, but_for=["seed", *SPLIT, *WEIGHTS, *JUDGE]):
        first, last = (quantity_of(group.runs, task) for task in group.runs[0].supervised)
        if first is not None and last is not None:
            fronts = _by_label(group.runs, first, last)
            shared = _shared_v1(fronts)
            if len(fronts) > 1 < len(shared) and (
                rows := _rows(fronts, shared, first, last, confidence)
            ):
                found.append(
                    Fronts(quantities=(first, last), runs=group.runs, v1=shared, rows=rows)
                )
    return found


def _by_label(
    runs: Sequence[Result], first: Quantity, last: Quantity
) -> dict[str, dict[int, Front]]:
    """Fronts by way of training and seed; of several runs at one seed and v1, the first."""
    told = labels(runs, without=("weight", *OWN_COLUMNS, *JUDGE))
    found: dict[str, dict[int, Front]] = {}
    for label, run in zip(told, runs, strict=True):
        along = run.along(TASK_WEIGHT)
        points: list[tuple[float, Mapping[str, Any]]] = [
            (float(one["parameters"][TASK_WEIGHT]), one.get("test", {})) for one in along
        ]
        if len(points) < 2 and run.fixed_v1 is not None:
            label, points = f"{run.method}, {FIXED}", [(run.fixed_v1, run.test)]
        front = found.setdefault(label, {}).setdefault(run.seed, {})
        for v1, values in points:
            one, other = number_of(values, first.name), number_of(values, last.name)
            if one is not None and other is not None:
                front.setdefault(round(v1, 9), (one, other))
    return {label: fronts for label, fronts in found.items() if all(map(len, fronts.values()))}


def _shared_v1(fronts: Mapping[str, Mapping[int, Front]]) -> list[float]:
    """The v1 that every front has."""
    own = [set(front) for by_seed in fronts.values() for front in by_seed.values()]
    return sorted(set.intersection(*own)) if own else []


def _rows(
    fronts: Mapping[str, Mapping[int, Front]],
    v1: Sequence[float],
    first: Quantity,
    last: Quantity,
    confidence: float,
) -> list[dict[str, Any]]:
    signs = np.array([first.sign, last.sign])
    points = {
        (label, seed): np.array([front[one] for one in v1]) * signs
        for label, by_seed in fronts.items()
        for seed, front in by_seed.items()
    }
    everything = np.concatenate(list(points.values()))
    low, high = everything.min(0), everything.max(0)
    if not (high > low).all():
        return []
    volumes: dict[str, dict[int, float]] = {}
    for (label, seed), own in points.items():
        volumes.setdefault(label, {})[seed] = hypervolume((own - low) / (high - low))
    rows = []
    for label, by_seed in volumes.items():
        estimate = mean_estimate(
            list(by_seed.values()), confidence=confidence, lowest=0.0, highest=1.0
        )
        row: dict[str, Any] = {"method": label, **estimate.row(by_seed, list(by_seed.values()))}
        against = f"{label.split(' ')[0]}, {FIXED}"
        pairs = [seed for seed in by_seed if seed in volumes.get(against, {})]
        if label != against and pairs:
            values = [by_seed[seed] - volumes[against][seed] for seed in pairs]
            difference = mean_estimate(values, confidence=confidence).row(pairs, values)
            row |= {"against": against, "difference": difference}
        rows.append(row)
    return rows


def hypervolume(points: Float[np.ndarray, "point 2"]) -> float:
    """The area that the points dominate above the origin; higher is better in both coordinates.

    >>> hypervolume(np.array([[1.0, 0.5], [0.5, 1.0], [0.4, 0.4]]))
    0.75
    """
    import moocore  # a compiled library that only comparisons of fronts need

    return float(moocore.hypervolume(points, ref=[0.0, 0.0], maximise=True))
