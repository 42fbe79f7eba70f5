"""Normalised histograms with statistical errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from msnas.errors import DataError
from msnas.results.resolution import CENTRAL


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """`rows` hold left, right, y (share of all entries per unit) and error of every bin.

    `beyond` is the share outside the edges, `middle` and `width` are the median and half the width
    of the central 68.27 % of all entries (without weights), `mean` is their weighted mean.
    """

    rows: pd.DataFrame
    beyond: float
    mean: float
    middle: float
    width: float


def histogram(
    values: Float[np.ndarray, " entry"],
    weight: Float[np.ndarray, " entry"],
    edges: Float[np.ndarray, " edge"],
) -> Histogram:
    """Fill a histogram; the error of a bin is the root of its summed squared weights.

    Raises DataError for no entries, or for entries whose weights sum to nothing.
    """
    total = float(weight.sum())
    if not total > 0:
        raise DataError(f"{len(values)} entries weigh {total:g}, expected > 0")
    scale = total * np.diff(edges)
    low, middle, high = np.quantile(values, [CENTRAL[0], 0.5, CENTRAL[1]])
    inside = (values >= edges[0]) & (values <= edges[-1])
    bins = {
        "left": edges[:-1],
        "right": edges[1:],
        "y": np.histogram(values, edges, weights=weight)[0] / scale,
        "error": np.sqrt(np.histogram(values, edges, weights=weight**2)[0]) / scale,
    }
    return Histogram(
        rows=pd.DataFrame(bins),
        beyond=1 - float(weight[inside].sum()) / total,
        mean=float((values * weight).sum() / total),
        middle=float(middle),
        width=float(high - low) / 2,
    )
