"""The expected uncertainty of a signal strength, its sources, and toys. Imports no PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from msnas.measurement.likelihood import MU, Likelihood

SIMULATION = "statistics of the simulation"
REACH, POINTS = 2.5, 21
"""The scan reaches this many standard errors to either side of 1, in this many points.

There are points for the total standard error, and points for the statistical one.
"""


def groups(likelihood: Likelihood) -> dict[str, list[str]]:
    """The nuisances by source: each rate and each shape, the simulation as a whole."""
    each = [name for name in likelihood.names[1:] if name not in likelihood.simulation]
    return {**{name: [name] for name in each}, SIMULATION: likelihood.simulation}


def sigma(likelihood: Likelihood, names: list[str] | None = None) -> float:
    """The standard error of the strength at 1, with the nuisances `names` free (None: all)."""
    return float(np.sqrt(likelihood.covariance(likelihood.start, names)[0, 0]))


def uncertainty(likelihood: Likelihood) -> dict[str, Any]:
    """The standard errors: statistical alone, with each group of nuisances, and with all."""
    return {
        "statistical": sigma(likelihood, []),
        "with": {name: sigma(likelihood, own) for name, own in groups(likelihood).items()},
        "all": sigma(likelihood),
    }


def impacts(likelihood: Likelihood) -> list[dict[str, Any]]:
    """By how much the fitted strength moves with each nuisance, the largest move first.

    On the expected counts, each nuisance is fixed one standard deviation of the fit (`width`) up
    and down, and all other parameters are fitted again.
    """
    counts, _ = likelihood.expected(likelihood.start)
    covariance = likelihood.covariance(likelihood.start)
    found = []
    for place, name in enumerate(likelihood.names[1:], start=1):
        width = float(np.sqrt(covariance[place, place]))
        up, down = (
            float(likelihood.fit(counts, fixed={name: way * width}).values[0]) - 1
            for way in (1, -1)
        )
        found.append({"name": name, "up": up, "down": down, "width": width})
    return sorted(found, key=lambda one: -max(abs(one["up"]), abs(one["down"])))


def scan(likelihood: Likelihood) -> list[dict[str, float]]:
    """-2 log of the likelihood ratio against the strength: with nuisances fitted, and fixed."""
    counts, _ = likelihood.expected(likelihood.start)
    lowest = likelihood.fit(counts).twice
    fixed = dict(zip(likelihood.names[1:], likelihood.start[1:], strict=True))
    reaches = (REACH * sigma(likelihood), REACH * sigma(likelihood, []))
    grid = {mu for reach in reaches for mu in np.linspace(1 - reach, 1 + reach, POINTS).tolist()}
    found = []
    for mu in sorted(grid):
        told = {"mu": mu, "all": likelihood.fit(counts, fixed={MU: mu}).twice - lowest}
        alone = likelihood.twice(np.array([mu, *fixed.values()]), counts, likelihood.start * 0)
        found.append({**told, "statistical": alone - lowest})
    return found


def pulls(
    likelihood: Likelihood, *, toys: int, generator: np.random.Generator
) -> Float[np.ndarray, " toy"]:
    """How far the fitted strengths of toy experiments are from 1, in standard errors.

    Counts and auxiliary measurements are drawn at a strength of 1. A pull is the signed root of
    the difference in -2 log of the profile likelihood between 1 and the fit, as in MINOS. Where
    the likelihood is no parabola, as with few simulated events, (fitted - 1) / (a symmetric error)
    would be skewed, although the measurement is right.
    """
    expected, _ = likelihood.expected(likelihood.start)
    found = []
    for _ in range(toys):
        counts = generator.poisson(expected).astype(float)
        auxiliary = generator.standard_normal(len(likelihood.names))
        best = likelihood.fit(counts, auxiliary)
        lost = likelihood.fit(counts, auxiliary, fixed={MU: 1.0}).twice - best.twice
        found.append(float(np.sign(best.values[0] - 1) * np.sqrt(max(lost, 0.0))))
    return np.array(found)
