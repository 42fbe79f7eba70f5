"""Fronts of two quantities, and their knee. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class FrontPoint:
    """Both quantities at a weight v1 of the first task."""

    v1: float
    first: float
    last: float


@dataclass(frozen=True, kw_only=True)
class Recommended:
    """The knee of each seed's front and of the mean front."""

    seeds: Mapping[int, float]
    mean: float


def knee(front: Sequence[FrontPoint], *, first_higher: bool, last_higher: bool) -> float:
    """The v1 at which a front bends most: furthest from the chord between its two ends.

    Points that another one beats in one quantity and equals or beats in the other are left out.
    Both quantities are scaled to [0, 1] over the rest, 1 is best; the chord joins the best of one
    to the best of the other, and the distance towards the best of both counts. Of several v1 the
    one nearest to 0.5 (so where the front is straight). After Das, "On characterizing the knee of
    the Pareto curve", Structural Optimization 18 (1999).

    >>> values = [(0.1, 4.0, 0.90), (0.5, 1.5, 0.89), (0.9, 1.0, 0.80)]
    >>> front = [FrontPoint(v1=v1, first=mse, last=auc) for v1, mse, auc in values]
    >>> knee(front, first_higher=False, last_higher=True)
    0.5
    """
    if not front:
        raise ValueError("the knee of a front without a point")
    signs = np.array([1.0 if first_higher else -1.0, 1.0 if last_higher else -1.0])
    values = np.array([[one.first, one.last] for one in front]) * signs
    kept = [place for place in range(len(front)) if not _beaten(values[place], values)]
    low, high = values[kept].min(axis=0), values[kept].max(axis=0)
    scaled = (values[kept] - low) / np.where(high > low, high - low, 1.0)
    # the ends are (0, 1) and (1, 0), so the distance from the chord is (a + b - 1) / sqrt(2)
    distance = scaled.sum(axis=1).round(9)
    best = [front[kept[place]].v1 for place in np.flatnonzero(distance == distance.max())]
    return min(best, key=lambda v1: (abs(v1 - 0.5), v1))


def mean_front(fronts: Sequence[Sequence[FrontPoint]]) -> list[FrontPoint]:
    """The mean of both quantities at every v1 that all fronts have."""
    shared = set.intersection(*({round(one.v1, 9) for one in front} for front in fronts))
    found = []
    for v1 in sorted(shared):
        there = [one for front in fronts for one in front if round(one.v1, 9) == v1]
        first, last = (
            float(np.mean([getattr(one, name) for one in there])) for name in ("first", "last")
        )
        found.append(FrontPoint(v1=v1, first=first, last=last))
    return found


def recommended_v1(
    fronts: Mapping[int, Sequence[FrontPoint]], *, first_higher: bool, last_higher: bool
) -> Recommended:
    """The knee of the validation front of every seed, and of their mean."""
    directions = {"first_higher": first_higher, "last_higher": last_higher}
    return Recommended(
        seeds={seed: knee(front, **directions) for seed, front in sorted(fronts.items())},
        mean=knee(mean_front(list(fronts.values())), **directions),
    )


def _beaten(point: np.ndarray, points: np.ndarray) -> bool:
    return bool(np.any((points >= point).all(axis=1) & (points > point).any(axis=1)))
