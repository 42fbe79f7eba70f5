"""Fronts of two quantities, x and y, along the task weight v1, and their knee. No PyTorch.

A front is a frame with a row for each v1: v1, x, y.
"""

from __future__ import annotations

import numpy as np
import pandas as pd


def knee(front: pd.DataFrame, *, higher: tuple[bool, bool]) -> float:
    """The v1 at which a front bends most: furthest from the chord between its two ends.

    Dominated points are left out: another point is better in x or y and not worse in the other.
    Both quantities (`higher`: whether higher is better) are scaled to [0, 1] over the other points,
    1 is best; the chord joins the best point in x to the best in y, and the distance is positive
    towards (1, 1). Of several v1 with this distance, as on a straight front, the nearest to 0.5.
    After Das, "On characterizing the knee of the Pareto curve", Structural Optimization 18 (1999).

    >>> front = pd.DataFrame({"v1": [0.1, 0.5, 0.9], "x": [4.0, 1.5, 1.0], "y": [0.90, 0.89, 0.80]})
    >>> knee(front, higher=(False, True))
    0.5
    """
    if front.empty:
        raise ValueError("the knee of a front without a point")
    values = front[["x", "y"]].to_numpy() * np.where(higher, 1.0, -1.0)
    beaten = [np.any((values >= one).all(1) & (values > one).any(1)) for one in values]
    v1, kept = front["v1"].to_numpy()[~np.array(beaten)], values[~np.array(beaten)]
    low, high = kept.min(axis=0), kept.max(axis=0)
    scaled = (kept - low) / np.where(high > low, high - low, 1.0)
    # the ends are (0, 1) and (1, 0), so the distance from the chord is (a + b - 1) / sqrt(2)
    distance = scaled.sum(axis=1).round(9)
    best = v1[distance == distance.max()]
    return float(min(best, key=lambda one: (abs(one - 0.5), one)))


def mean_front(rows: pd.DataFrame) -> pd.DataFrame:
    """The mean of x and y at every v1, and the number n of rows there; in the order of v1."""
    grouped = rows.assign(v1=rows["v1"].round(9)).groupby("v1")
    return grouped.agg(x=("x", "mean"), y=("y", "mean"), n=("x", "size")).reset_index()
