"""Normalised histograms with statistical errors, on paper and on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mplhep
import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from matplotlib.axes import Axes

from msnas.errors import DataError

CENTRAL = (0.15865, 0.84135)
"""Quantiles around the central 68.27 %."""


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Share of all entries per unit of x in every bin, with its error.

    `beyond` is the share outside the edges, `middle` and `width` are the median and half the width
    of the central 68.27 % of all entries (weights left aside), `mean` is their weighted mean.
    """

    edges: Float[np.ndarray, " edge"]
    density: Float[np.ndarray, " bin"]
    error: Float[np.ndarray, " bin"]
    beyond: float
    mean: float
    middle: float
    width: float

    def draw(self, axes: Axes, *, errors: bool = True, **settings: Any) -> None:
        """Draw it as steps, with its errors."""
        mplhep.histplot(
            self.density,
            self.edges,
            yerr=self.error if errors else None,
            ax=axes,
            flow=None,
            **settings,
        )

    def trace(self, **settings: Any) -> go.Scatter:
        """The same for the page; the error of a bin is told where the pointer is."""
        return go.Scatter(
            x=np.round(self.edges, 6).tolist(),
            y=[float(f"{value:.4g}") for value in (*self.density, self.density[-1])],
            text=[f"± {value:.2g}" for value in (*self.error, self.error[-1])],
            mode="lines",
            line_shape="hv",
            **settings,
        )


def histogram(
    values: Float[np.ndarray, " entry"],
    weight: Float[np.ndarray, " entry"],
    edges: Float[np.ndarray, " edge"],
) -> Histogram:
    """Fill a histogram; the error of a bin is the root of its summed squared weights.

    Raises DataError for no entries, or for entries that weigh nothing together.
    """
    total = float(weight.sum())
    if not total > 0:
        raise DataError(f"{len(values)} entries weigh {total:g}, expected > 0")
    scale = total * np.diff(edges)
    low, middle, high = np.quantile(values, [CENTRAL[0], 0.5, CENTRAL[1]])
    inside = (values >= edges[0]) & (values <= edges[-1])
    return Histogram(
        edges=edges,
        density=np.histogram(values, edges, weights=weight)[0] / scale,
        error=np.sqrt(np.histogram(values, edges, weights=weight**2)[0]) / scale,
        beyond=1 - float(weight[inside].sum()) / total,
        mean=float((values * weight).sum() / total),
        middle=float(middle),
        width=float(high - low) / 2,
    )
