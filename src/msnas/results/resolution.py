"""Bias and resolution of calibrated momenta in bins of the true pT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from msnas.results.outputs import Momenta

CENTRAL = (0.15865, 0.84135)
"""Quantiles one standard deviation of a Gaussian below and above its mean."""

LOWEST_PT = 1.0
"""Particles need a true pT above this [GeV]; below it, a ratio to the true pT is meaningless."""

FEWEST = 20
"""Particles a bin needs to be shown."""

RESAMPLES = 200
"""Number of bootstrap resamples for the errors."""


@dataclass(frozen=True, kw_only=True)
class Residuals:
    """Residuals of particles with a true pT: pT / true pT, differences of eta and of phi [rad]."""

    true_pt: Float[np.ndarray, " particle"]
    pt: Float[np.ndarray, " particle"]
    eta: Float[np.ndarray, " particle"]
    phi: Float[np.ndarray, " particle"]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Median and half the width of the central 68.27 % in bins, with their standard errors.

    A bin is from `low` to `high` in true pT; `middle` is the median true pT of its particles.
    """

    middle: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    median: Sequence[float]
    median_error: Sequence[float]
    width: Sequence[float]
    width_error: Sequence[float]


def residuals(found: Float[np.ndarray, "event particle component"], momenta: Momenta) -> Residuals:
    """Residuals of momenta (pT [GeV], eta, phi, ...) to the true ones, phi in [-pi, pi)."""
    use = momenta.true[..., 0] > LOWEST_PT
    mine, true = _vectors(found[use]), _vectors(momenta.true[use])
    return Residuals(
        true_pt=np.asarray(true.pt),
        pt=np.asarray(mine.pt / true.pt),
        eta=np.asarray(mine.deltaeta(true)),
        phi=np.asarray(mine.deltaphi(true)),
    )


def pt_edges(true_pt: Float[np.ndarray, " particle"], *, bins: int) -> Float[np.ndarray, " edge"]:
    """Edges at whole GeV of up to `bins` bins that hold equally many particles."""
    edges = np.unique(np.round(np.quantile(true_pt, np.linspace(0, 1, bins + 1))))
    edges[0], edges[-1] = np.floor(true_pt.min()), np.ceil(true_pt.max())
    return edges if len(edges) > 1 else np.array([edges[0], edges[0] + 1])


def profile(
    values: Float[np.ndarray, " particle"],
    true_pt: Float[np.ndarray, " particle"],
    edges: Float[np.ndarray, " edge"],
    *,
    relative: bool,
) -> Profile:
    """Median and width of `values` in bins of the true pT; with `relative`, width / median.

    Errors are standard deviations over resampled particles (always the same draws). Bins with
    fewer than 20 particles are left out.
    """
    generator = np.random.default_rng(0)
    place = np.digitize(true_pt, edges[1:-1])
    rows = []
    for one, (low, high) in enumerate(pairwise(edges)):
        inside = values[place == one]
        if len(inside) < FEWEST:
            continue
        drawn = inside[generator.integers(len(inside), size=(RESAMPLES, len(inside)))]
        numbers = [_median_and_width(each, relative=relative) for each in (inside[None], drawn)]
        (median, width), errors = numbers[0][:, 0], numbers[1].std(axis=1, ddof=1)
        middle = np.median(true_pt[place == one])
        rows.append((middle, low, high, median, errors[0], width, errors[1]))
    columns = [list(map(float, column)) for column in zip(*rows, strict=True)]
    names = [field.name for field in fields(Profile)]
    return Profile(**dict(zip(names, columns or [[] for _ in names], strict=True)))


def _vectors(momenta: Float[np.ndarray, "particle component"]) -> Any:
    import vector  # a second to import: only where it is needed

    return vector.array(dict(zip(("pt", "eta", "phi"), momenta.T[:3], strict=True)))


def _median_and_width(
    values: Float[np.ndarray, "sample particle"], *, relative: bool
) -> Float[np.ndarray, "2 sample"]:
    low, median, high = np.quantile(values, [CENTRAL[0], 0.5, CENTRAL[1]], axis=1)
    width = (high - low) / 2
    # a median of 0 has no relative width: half of the values say that there is no particle
    return np.stack((median, width / np.where(median == 0, 1, median) if relative else width))
