"""The error of an expected uncertainty from the choice of events. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from msnas.measurement.expected import sigma
from msnas.measurement.likelihood import Likelihood
from msnas.measurement.templates import Templates

RESAMPLES = 200


def resampled(
    fill: Callable[[Float[np.ndarray, " event"]], Templates], events: int, *, seed: int
) -> Float[np.ndarray, "resample 2"]:
    """The statistical and the total uncertainty with every event given a random weight.

    `fill` makes templates from the weights. They are exponential (the Bayesian bootstrap, Rubin
    1981), which leaves no bin empty. The errors of the simulation stay those without these weights.
    The same seed gives the same weights: differences of chains on the same events are paired.
    """
    generator = np.random.default_rng(seed)
    errors = fill(np.ones(events)).errors
    found = []
    for _ in range(RESAMPLES):
        templates = replace(fill(generator.exponential(size=events)), errors=errors)
        likelihood = Likelihood(templates)
        found.append((sigma(likelihood, []), sigma(likelihood)))
    return np.array(found)
