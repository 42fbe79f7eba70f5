"""The likelihood of counts in bins, as HistFactory defines it. Imports no PyTorch.

Cranmer et al., CERN-OPEN-2012-016; Heinrich et al., JOSS 6 (2021) 2823 (pyhf). The counts n_b of a
bin are Poisson distributed around

    nu_b = gamma_b sum_p mu_p prod_r (1 + rate_rp)^alpha_r (nominal_pb + sum_s delta_spb(alpha_s))

with mu_p = mu for a signal, else 1. A shape has the yields down at alpha = -1, nominal at 0 and up
at 1: in between it is a polynomial of sixth order, smooth at both ends (pyhf's code4p), beyond it
is linear. gamma_b = 1 + error_b beta_b, where error_b is the relative statistical error of the
simulation in the whole bin. Each alpha and beta has an auxiliary measurement, a normal distribution
of width 1.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from msnas.errors import DataError
from msnas.measurement.templates import Templates

MU = "mu"

ENOUGH, NEARLY = 1e-7, 1e-3
"""Slopes of a converged fit, per expected standard error: the aim, and the largest accepted."""

Vector = Float[np.ndarray, " parameter"]
Counts = Float[np.ndarray, " bin"]


@final
@dataclass(frozen=True, kw_only=True)
class Fitted:
    """The parameters of the highest likelihood, and twice its negative logarithm."""

    values: Vector
    twice: float


@final
class Likelihood:
    """The likelihood of `templates`; the signal strength is the first of the parameters `names`."""

    def __init__(self, templates: Templates) -> None:
        self.templates = templates
        processes = list(templates.processes)
        self.nominal = templates.nominal
        self.signal = np.isin(processes, templates.signal)
        self.rates = np.array(
            [[np.log1p(of.get(one, 0.0)) for one in processes] for of in templates.rates.values()]
        ).reshape(-1, len(processes))
        self.shapes = [
            (up - self.nominal, self.nominal - down) for up, down in templates.shapes.values()
        ]
        total = self.nominal.sum(0)
        self.error = np.sqrt((templates.errors**2).sum(0)) / total
        self.simulation = [f"simulation, bin {place}" for place in range(len(total))]
        self.names = [MU, *templates.rates, *templates.shapes, *self.simulation]
        self.start = np.zeros(len(self.names))
        self.start[0] = 1.0

    def expected(self, values: Vector) -> tuple[Counts, Float[np.ndarray, "bin parameter"]]:
        """Counts expected in each bin, and their derivatives by parameter."""
        rates, shapes = len(self.rates), len(self.shapes)
        alpha, beta = values[1 + rates : 1 + rates + shapes], values[1 + rates + shapes :]
        base = self.nominal.copy()
        slopes = []
        for (up, down), one in zip(self.shapes, alpha, strict=True):
            moved, slope = interpolated(up, down, one)
            base += moved
            slopes.append(slope)
        common = np.exp(values[1 : 1 + rates] @ self.rates)
        factor = np.where(self.signal, values[0], 1.0) * common
        gamma = 1 + self.error * beta
        sums = factor @ base
        columns = [(self.signal * common) @ base]
        columns += [(factor * rate) @ base for rate in self.rates]
        columns += [factor @ slope for slope in slopes]
        derivatives = np.concatenate(
            (np.stack(columns, 1) * gamma[:, None], np.diag(self.error * sums)), 1
        )
        return gamma * sums, derivatives

    def twice(self, values: Vector, counts: Counts, auxiliary: Vector) -> float:
        """-2 log of the likelihood over the saturated one (expected = counts); infinite if 0."""
        expected, _ = self.expected(values)
        if (expected <= 0).any():
            return np.inf
        ratio = np.where(counts > 0, expected / np.maximum(counts, 1e-300), 1.0)
        poisson = expected - counts - counts * np.log(ratio)
        return float(2 * poisson.sum() + ((values - auxiliary)[1:] ** 2).sum())

    def information(self, values: Vector) -> Float[np.ndarray, "parameter parameter"]:
        """The Fisher information of counts and auxiliary measurements."""
        expected, derivatives = self.expected(values)
        known = np.eye(len(values))
        known[0, 0] = 0.0
        found: np.ndarray = derivatives.T @ (derivatives / expected[:, None]) + known
        return found

    def covariance(
        self, values: Vector, names: Collection[str] | None = None
    ) -> Float[np.ndarray, "parameter parameter"]:
        """The covariance of the strength and the nuisances `names` (None: all), others fixed."""
        free = [
            place
            for place, name in enumerate(self.names)
            if place == 0 or names is None or name in names
        ]
        found: np.ndarray = np.linalg.inv(self.information(values)[np.ix_(free, free)])
        return found

    def fit(
        self,
        counts: Counts,
        auxiliary: Vector | None = None,
        fixed: Mapping[str, float] | None = None,
    ) -> Fitted:
        """Maximise the likelihood of `counts`, with some parameters `fixed`.

        `auxiliary` are the auxiliary measurements by parameter, by default 0. The quasi-Newton
        steps are in units of the expected standard errors, so that they converge fast. Raises
        DataError where they do not.
        """
        auxiliary = np.zeros(len(self.names)) if auxiliary is None else auxiliary
        begin = self.start.copy()
        for name, value in (fixed or {}).items():
            begin[self.names.index(name)] = value
        free = [place for place, name in enumerate(self.names) if name not in (fixed or {})]
        from scipy import optimize  # a second to import: only where it is needed

        covariance = np.linalg.inv(self.information(self.start)[np.ix_(free, free)])
        scale = np.zeros((len(begin), len(free)))
        scale[free] = np.linalg.cholesky(covariance)

        def loss(units: Vector) -> tuple[float, Vector]:
            values = begin + scale @ units
            expected, derivatives = self.expected(values)
            if (expected <= 0).any():
                return np.inf, units
            slope = derivatives.T @ (1 - counts / expected)
            slope[1:] += (values - auxiliary)[1:]
            return self.twice(values, counts, auxiliary) / 2, scale.T @ slope

        found = optimize.minimize(
            loss, np.zeros(len(free)), jac=True, method="BFGS", options={"gtol": ENOUGH}
        )
        if not np.abs(found.jac).max() < NEARLY:
            raise DataError("the fit of the signal strength does not converge")
        return Fitted(values=begin + scale @ found.x, twice=2 * float(found.fun))


def interpolated(
    up: Float[np.ndarray, "process bin"], down: Float[np.ndarray, "process bin"], alpha: float
) -> tuple[Float[np.ndarray, "process bin"], Float[np.ndarray, "process bin"]]:
    """What a shape adds at alpha, and the derivative; `up`: the step 0 to 1, `down`: -1 to 0.

    >>> [float(interpolated(np.array(3.0), np.array(1.0), one)[0]) for one in (-2, -1, 0, 1, 2)]
    [-2.0, -1.0, 0.0, 3.0, 6.0]
    """
    if alpha >= 1:
        return alpha * up, up
    if alpha <= -1:
        return alpha * down, down
    mean, bend = (up + down) / 2, (up - down) / 16
    square = alpha * alpha
    added = alpha * mean + square * bend * (15 + square * (3 * square - 10))
    slope = mean + alpha * bend * (30 + square * (18 * square - 40))
    return added, slope
