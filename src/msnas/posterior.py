"""The chains' mean losses and their posterior: see `msnas.confidence`. Imports no PyTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import final

import numpy as np
from jaxtyping import Bool, Float

from msnas.errors import DataError

FEWER_DRAWS = 2_000
"""Number of draws from a posterior that only tells how much data would be enough."""

QUANTILES = 64
"""Number of equally probable quantiles of the posterior of tau^2."""

SPREADS = 48
"""Number of values of the spread g that are weighed."""

HOPELESS = 5.0
"""A chain more than this many standard errors behind the leader tells nothing of the others."""

UNRELATED = 0.03
"""Share of the mean variance by events that every axis of the prior has besides its own.

`alike` is an estimate: without that it may leave an axis no spread at all.
"""

TINY = 1e-12
"""Share of the variance of the means below which a variance is taken for rounding."""

FARTHEST = 1000.0
"""At most this many times as many seeds or events are looked at."""


@final
@dataclass(frozen=True, kw_only=True)
class Means:
    """Least-squares fit of losses by a level for each chain plus a level for each seed.

    `loss` are the levels of the chains, `by_event` their levels by event up to a common part,
    `weights` the weights of the trainings in them. `freedom` are the degrees of freedom of
    `residual`, the variance of a training's mean, of which `noise` comes from events.
    """

    loss: Float[np.ndarray, " chain"]
    by_event: Float[np.ndarray, "chain event"]
    weights: Float[np.ndarray, "chain training"]
    freedom: int
    residual: float
    noise: float

    @classmethod
    def of(
        cls, losses: Float[np.ndarray, "chain seed event"], trained: Bool[np.ndarray, "chain seed"]
    ) -> Means:
        """The fit of the losses of all trainings that exist."""
        chains, events = len(losses), losses.shape[2]
        chain, seed = np.nonzero(trained)
        design, inverse = _solved(trained.tobytes(), chains)
        weights = inverse[:chains] + inverse[chains:].mean(0)
        freedom = len(chain) - len(inverse) + 1
        # subtract a chain trained with the same seed: equal chains then differ by no rounding
        own = losses[trained].astype(float)
        level = weights @ own.mean(1)
        own -= losses[trained.argmax(0)[seed], seed]
        residual = noise = 0.0
        if freedom:
            rest = own - design @ (inverse @ own)
            by_training = rest.mean(1, keepdims=True)
            residual = float(np.square(by_training).sum()) / freedom
            noise = float(np.square(rest - by_training).sum()) / (freedom * (events - 1)) / events
        return cls(
            loss=level,
            by_event=weights @ own,
            weights=weights,
            freedom=freedom,
            residual=residual,
            noise=noise,
        )


@lru_cache(maxsize=8)
def _solved(trained: bytes, chains: int) -> tuple[np.ndarray, np.ndarray]:
    """Which levels each training has, and the pseudo-inverse; many choices share them."""
    chain, seed = np.nonzero(np.frombuffer(trained, bool).reshape(chains, -1))
    seeds = np.unique(seed)
    design = np.column_stack([chain[:, None] == range(chains), seed[:, None] == seeds])
    if np.linalg.matrix_rank(design) < chains + len(seeds) - 1:
        raise DataError("losses: found chains that share no seed, expected trainings to compare")
    return design, np.linalg.pinv(design.astype(float))


@final
@dataclass(frozen=True, kw_only=True)
class Posterior:
    """The means of the chains without their common part: in the `basis` of their differences.

    The covariance of the means is `of_events` plus a value of `from_seeds` [quantile] times
    `of_seeds`. `alike` is the part of `of_events` that many seeds would leave. `tau2` is the
    likeliest of `from_seeds` or, where chance must not make it 0, their mean; None without
    enough seeds.
    """

    basis: Float[np.ndarray, "chain axis"]
    means: Float[np.ndarray, " axis"]
    of_events: Float[np.ndarray, "axis axis"]
    of_seeds: Float[np.ndarray, "axis axis"]
    alike: Float[np.ndarray, "axis axis"]
    from_seeds: Float[np.ndarray, " quantile"]
    tau2: float | None

    @classmethod
    def of(cls, means: Means, *, with_seeds: bool, by_mean: bool) -> Posterior:
        """Estimate the components of the variance."""
        chains, events = means.by_event.shape
        # the first vector, dropped, is the common part
        basis = np.linalg.qr(np.column_stack([np.ones(chains), np.eye(chains)[:, 1:]]))[0][:, 1:]
        from_seeds, tau2 = np.zeros(1), None
        if with_seeds:
            from scipy import special  # a tenth of a second to import: only where it is needed

            levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
            chi2 = 2 * special.gammaincinv(means.freedom / 2, levels)
            total = means.residual * means.freedom / chi2
            from_seeds = np.maximum(total - means.noise, 0.0)
            tau2 = float(from_seeds.mean()) if by_mean else max(means.residual - means.noise, 0.0)
        of_events = basis.T @ np.atleast_2d(np.cov(means.by_event)) @ basis / events
        of_seeds = basis.T @ means.weights @ means.weights.T @ basis
        return cls(
            basis=basis,
            means=basis.T @ means.by_event.mean(1),
            of_events=of_events,
            of_seeds=of_seeds,
            alike=of_events - means.noise * of_seeds,
            from_seeds=from_seeds,
            tau2=tau2,
        )

    def error(self, covariance: Float[np.ndarray, "axis axis"], one: int, other: int) -> float:
        """Standard error of the difference of two chains."""
        apart = self.basis[one] - self.basis[other]
        return math.sqrt(max(float(apart @ covariance @ apart), 0.0))

    def draws(self, count: int) -> Float[np.ndarray, "draw chain"]:
        """Independent draws of the chains' mu without their common part, the same in every call."""
        generator = np.random.default_rng(0)
        covariance = self.of_events + self.from_seeds[:, None, None] * self.of_seeds
        values, axes = np.linalg.eigh(covariance)
        if not (size := values.mean()) > 0:
            return np.tile(self.basis @ self.means, (count, 1))
        deviations = np.sqrt(np.maximum(values, size * TINY))[:, None]
        apart = self._contenders(covariance.mean(0))
        # axes on which means have the error 1 and, whatever the spread g, are independent: of the
        # contenders' differences, whose variances are `shares` of g^2, and of all that is left
        near = apart @ (axes * deviations)
        shares, turns = np.linalg.eigh(near.transpose(0, 2, 1) @ near)
        left = shares.shape[1] - (len(apart) - 1)
        shares = np.maximum(shares[:, left:], 0.0)
        back = axes * deviations @ turns
        means = ((self.means @ (axes / deviations))[:, None] @ turns)[:, 0]
        error = math.sqrt(max(shares.sum(1).mean() / max(len(apart) - 1, 1), size * TINY))
        reach = 30 * max(error, float(np.linalg.norm(apart @ self.means)))
        spreads = np.geomspace(error / 30, reach, SPREADS)
        total = np.square(spreads)[:, None] + shares[:, None]
        squares = shares * np.square(means[:, left:])
        fit = np.log(spreads) - (np.log(total) + squares[:, None] / total).sum(2) / 2
        weights = np.exp(fit - fit.max(1, keepdims=True)).cumsum(1)
        quantile = generator.integers(len(values), size=count)
        level = generator.random((count, 1)) * weights[quantile, -1:]
        chosen = np.square(spreads[(weights[quantile] < level).sum(1)])[:, None]
        kept = np.ones((count, values.shape[1]))
        kept[:, left:] = chosen / (chosen + shares[quantile])
        drawn = kept * means[quantile] + np.sqrt(kept) * generator.standard_normal(kept.shape)
        for place, of_quantile in enumerate(back):
            drawn[quantile == place] = drawn[quantile == place] @ of_quantile.T
        found: Float[np.ndarray, "draw chain"] = drawn @ self.basis.T
        return found

    def _contenders(
        self, covariance: Float[np.ndarray, "axis axis"]
    ) -> Float[np.ndarray, "contender axis"]:
        """The chains at most HOPELESS errors behind the leader, on axes of which g is the spread.

        Their common part is left out.
        """
        loss = self.basis @ self.means
        first = int(loss.argmin())
        errors = [self.error(covariance, one, first) for one in range(len(loss))]
        chosen = self.basis[loss - loss[first] <= HOPELESS * np.array(errors) + 1e-9 * np.ptp(loss)]
        apart: Float[np.ndarray, "contender axis"] = chosen - chosen.mean(0)
        alike, of_events = (apart @ one @ apart.T for one in (self.alike, self.of_events))
        values, axes = np.linalg.eigh(alike)
        values = np.maximum(values, 0.0) + UNRELATED * np.trace(of_events) / max(len(apart) - 1, 1)
        if not values.max() > 0:
            return apart
        spreads = np.sqrt(values / values.mean())
        shaped: Float[np.ndarray, "contender axis"] = axes / spreads @ axes.T @ apart
        return shaped

    def enough(
        self, leader: int, confidence: float, *, seeds: int | None = None, events: int = 0
    ) -> int | None:
        """How many seeds or events in all would make the leader as probable as `confidence`.

        `seeds` or `events` is the present number; the means are taken to stay as they are.
        """
        now = seeds or events

        def would(factor: float) -> bool:
            then = replace(
                self,
                from_seeds=np.array([(self.tau2 or 0.0) / (factor if seeds else 1.0)]),
                of_events=self.of_events if seeds else self.of_events / factor,
            )
            return bool(most_probable(then.draws(FEWER_DRAWS))[leader] >= confidence)

        few, many = 1.0, FARTHEST
        if not would(many):
            return None
        while math.ceil(few * now) + 1 < math.ceil(many * now) and many / few > 1.02:
            middle = math.sqrt(few * many)
            few, many = (few, middle) if would(middle) else (middle, many)
        return max(math.ceil(many * now), now + 1)


def most_probable(draws: Float[np.ndarray, "draw chain"]) -> Float[np.ndarray, " chain"]:
    """How often each chain has the lowest number; chains equal up to rounding share a draw."""
    lowest = draws <= draws.min(1, keepdims=True) + 1e-9 * np.ptp(draws)
    shares: Float[np.ndarray, " chain"] = (lowest / lowest.sum(1, keepdims=True)).mean(0)
    return shares
