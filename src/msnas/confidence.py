"""How sure a choice among chains is, from their losses by seed and event. Imports no PyTorch.

The loss of chain j, trained with seed s, on event i is mu_j + t_js + e_ji + eps_jsi, and what all
chains share in a seed or an event, which cancels in differences. t (variance tau^2, the same for
all chains, as seeds are few) is what another training would change, e what other events would. The
mean over S seeds and n events then has the covariance V = tau^2/S + cov(e + eps/S)/n: seeds cannot
shrink its second part.

The true mu are taken as normal around their mean with an unknown spread g, uniform a priori
(Gelman, Bayesian Analysis 1 (2006) 515), so that the best of many chains that are alike does not
look better than it is. A posteriori, from Monte Carlo draws of a fixed seed: the probability of
each chain to be the best, its regret (by how much its mu is above the lowest), and the tie set, the
smallest set of chains that holds the best with the wanted confidence. With one seed tau^2 is not
known: then all of it is about the chains as they are trained.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, final

import numpy as np
from jaxtyping import Float
from scipy import stats

from msnas.errors import ConfigError, DataError

CONFIDENCE = 0.95
"""Of a choice, if nothing else is said."""

DRAWS, FEWER_DRAWS = 10_000, 2_000
"""Of the posterior, and of one that only tells how much data would do."""

QUANTILES = 64
"""Of the posterior of tau^2, each as probable as the others."""

SPREADS = 48
"""Values of g that are weighed."""

FARTHEST = 1000.0
"""Times as many seeds or events are looked at, not more."""

Over = Literal["both", "events"]
"""What may be otherwise: seeds and events, or events alone."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A chain among the others: `best` is the probability that none is better.

    `regret` is the expected one, `low` and `high` are the ends of its interval.
    """

    loss: float
    best: float
    regret: float
    low: float
    high: float
    tied: bool


@final
@dataclass(frozen=True, kw_only=True)
class Sureness:
    """What is known of each chain, in the order given, and what would tell more.

    `seed_error` (None: not known, or not asked for) and `event_error` are the standard errors of
    the leader's difference to its strongest rival. `enough_seeds` and `enough_events` are how many
    in all would decide, if the losses stay as they are; None where not even many would.
    """

    confidence: float
    seeds: int
    events: int
    chains: Sequence[Standing]
    event_error: float
    seed_error: float | None = None
    enough_seeds: int | None = None
    enough_events: int | None = None

    @property
    def order(self) -> list[int]:
        """Places of the chains, the most probable one first."""
        chains = self.chains
        return sorted(range(len(chains)), key=lambda one: (-chains[one].best, chains[one].loss))

    @property
    def leader(self) -> Standing:
        """The chain that is most probably the best."""
        return self.chains[self.order[0]]

    @property
    def tied(self) -> int:
        """Size of the tie set."""
        return sum(one.tied for one in self.chains)

    @property
    def decided(self) -> bool:
        """Whether the tie set is a single chain."""
        return self.tied == 1

    @property
    def dominates(self) -> Literal["seeds", "events"]:
        """Which of them leaves more open between the leader and its strongest rival."""
        return "seeds" if (self.seed_error or 0.0) > self.event_error else "events"

    def words(self) -> list[str]:
        """What it means, in sentences."""
        probability = f"P = {self.leader.best:.3f}"
        if self.decided:
            said = [f"Decided: the leading chain is the best with {probability}."]
        else:
            said = [
                f"Not decided ({probability}): the best of {len(self.chains)} chains is one of "
                f"{self.tied} with {self.confidence * 100:g} % confidence."
            ]
            said += [self._dominating(), *self._enough()]
        if self.seed_error is None:
            said.append(
                "Events alone are counted: how much another seed would change is not known."
                if self.seeds == 1
                else "Events alone are counted, not what other seeds would change."
            )
        return said

    def _dominating(self) -> str:
        if self.seed_error is None:
            return f"Error from the choice of {self.events:,} events: {self.event_error:.2g}."
        return (
            f"{self.dominates.capitalize()} dominate: the difference to the strongest rival has "
            f"the error {self.seed_error:.2g} from {self.seeds} seeds, {self.event_error:.2g} "
            f"from {self.events:,} events."
        )

    def _enough(self) -> list[str]:
        told = []
        if self.enough_events is not None:
            told.append(f"about {_rounded(self.enough_events):,} validation events")
        if self.enough_seeds is not None:
            told.insert(0, f"about {self.enough_seeds} seeds")
        said = []
        if self.seed_error is not None and self.enough_seeds is None:
            said.append("Seeds cannot decide this.")
        if told:
            said.append(f"If differences stay as they are, {' or '.join(told)} in all would do.")
        elif self.seed_error is not None:
            said.append("Nor can events alone.")
        return said


def check_confidence(value: float, *, key: str = "confidence") -> float:
    """`value` if it can be the confidence of a choice; else raise ConfigError."""
    if not 0.5 < value < 1:
        raise ConfigError(f"{key}: expected above 0.5, below 1, found {value}")
    return value


def how_sure(
    losses: Float[np.ndarray, "chain seed event"],
    *,
    confidence: float = CONFIDENCE,
    over: Over | None = None,
) -> Sureness:
    """How sure the choice among chains is; the lowest loss is best.

    `over` null means seeds and events if there are two seeds, else events alone. Raises ConfigError
    for a confidence that is none and for `over="both"` with one seed, DataError for losses that
    are not finite or of fewer than two chains or events.

    >>> losses = np.random.default_rng(0).normal([[[0.0]], [[1.0]]], 1.0, (2, 1, 500))
    >>> [one.best for one in how_sure(losses).chains], how_sure(losses).words()[0]
    ([1.0, 0.0], 'Decided: the leading chain is the best with P = 1.000.')
    """
    check_confidence(confidence)
    if losses.ndim != 3 or losses.shape[0] < 2 or losses.shape[2] < 2 or not losses.shape[1]:
        raise DataError(
            f"losses: found {list(losses.shape)}, expected [chain, seed, event] with two chains, "
            "a seed and two events at least"
        )
    if not np.isfinite(losses).all():
        raise DataError("losses: found NaN or infinity, expected finite numbers")
    seeds, events = losses.shape[1:]
    if over == "both" and seeds < 2:
        raise ConfigError(f"over: both needs two seeds, found {seeds}; allowed is events")
    known = _Known.of(losses.astype(float), with_seeds=seeds > 1 and over != "events")
    draws = known.draws(DRAWS)
    best = _best(draws)
    regrets = draws - draws.min(1, keepdims=True)
    ranks = np.argsort(-best, kind="stable")
    size = int(np.searchsorted(best[ranks].cumsum(), confidence - 1e-9)) + 1
    tied = set(ranks[:size].tolist())
    low, high = _interval(regrets, confidence)
    means = losses.mean((1, 2))
    leader, rival = ranks[:2].tolist()
    found = Sureness(
        confidence=confidence,
        seeds=seeds,
        events=events,
        chains=[
            Standing(
                loss=float(means[one]),
                best=float(best[one]),
                regret=float(regrets[:, one].mean()),
                low=float(low[one]),
                high=float(high[one]),
                tied=one in tied,
            )
            for one in range(len(means))
        ],
        event_error=known.event_error(leader, rival),
        seed_error=known.seed_error,
    )
    if found.decided:
        return found
    return replace(
        found,
        enough_seeds=known.enough(leader, confidence, "seeds") if known.seed_error else None,
        enough_events=known.enough(leader, confidence, "events"),
    )


@dataclass(frozen=True, kw_only=True)
class _Known:
    """The means of the chains, on the axes on which the errors from events are independent.

    A chain's mean is `axes` times `means`, what all chains share left out; `from_events` [axis] are
    the variances on the axes, `from_seeds` [quantile] those from seeds, on all alike.
    """

    seeds: int
    events: int
    axes: Float[np.ndarray, "chain axis"]
    means: Float[np.ndarray, " axis"]
    from_events: Float[np.ndarray, " axis"]
    from_seeds: Float[np.ndarray, " quantile"]
    seed_error: float | None

    @classmethod
    def of(cls, losses: Float[np.ndarray, "chain seed event"], *, with_seeds: bool) -> _Known:
        """Estimate the components of the variance."""
        chains, seeds, events = losses.shape
        apart = losses - losses.mean(0)
        by_event, by_seed = apart.mean(1), apart.mean(2)
        means = by_event.mean(1)
        covariance = np.atleast_2d(np.cov(by_event)) / events
        # a basis of the differences: the first vector is what all chains share
        basis = np.linalg.qr(np.column_stack([np.ones(chains), np.eye(chains)[:, 1:]]))[0][:, 1:]
        values, vectors = np.linalg.eigh(basis.T @ covariance @ basis)
        from_seeds, seed_error = np.zeros(1), None
        if with_seeds:
            freedom = (chains - 1) * (seeds - 1)
            observed = np.square(by_seed - means[:, None]).sum() / freedom
            rest = apart - by_event[:, None] - by_seed[:, :, None] + means[:, None, None]
            noise = np.square(rest).sum() / (freedom * (events - 1)) / events
            levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
            tau2 = observed * freedom / stats.chi2.ppf(levels, freedom) - noise
            from_seeds = np.maximum(tau2, 0.0) / seeds
            seed_error = math.sqrt(2 * max(observed - noise, 0.0) / seeds)
        return cls(
            seeds=seeds,
            events=events,
            axes=basis @ vectors,
            means=(basis @ vectors).T @ means,
            from_events=np.maximum(values, 0.0),
            from_seeds=from_seeds,
            seed_error=seed_error,
        )

    def event_error(self, one: int, other: int) -> float:
        """Standard error of the difference of two chains from the events."""
        return float(np.sqrt(np.square(self.axes[one] - self.axes[other]) @ self.from_events))

    def draws(self, count: int) -> Float[np.ndarray, "draw chain"]:
        """The chains' mu, but for what all share: independent draws, the same in every call."""
        generator = np.random.default_rng(0)
        variances = self.from_events + self.from_seeds[:, None]
        size = variances.mean()
        if not size > 0:
            return np.tile(self.axes @ self.means, (count, 1))
        reach = 30 * max(math.sqrt(size), float(np.abs(self.means).max()))
        spreads = np.geomspace(math.sqrt(size) / 30, reach, SPREADS)
        total = np.square(spreads)[:, None] + variances[:, None]
        fit = np.log(spreads) - (np.log(total) + np.square(self.means) / total).sum(2) / 2
        weights = np.exp(fit - fit.max(1, keepdims=True)).cumsum(1)
        quantile = generator.integers(len(variances), size=count)
        level = generator.random((count, 1)) * weights[quantile, -1:]
        chosen = np.square(spreads[(weights[quantile] < level).sum(1)])[:, None]
        own = variances[quantile]
        share = chosen / (chosen + own)
        noise = generator.standard_normal(own.shape) * np.sqrt(share * own)
        found: Float[np.ndarray, "draw chain"] = (share * self.means + noise) @ self.axes.T
        return found

    def enough(
        self, leader: int, confidence: float, what: Literal["seeds", "events"]
    ) -> int | None:
        """How many in all would make the leader as probable, if the means stay as they are."""
        known = (self.seed_error or 0.0) ** 2 / 2
        now = self.seeds if what == "seeds" else self.events

        def would(factor: float) -> bool:
            seeds, events = (factor, 1.0) if what == "seeds" else (1.0, factor)
            then = replace(
                self, from_seeds=np.array([known / seeds]), from_events=self.from_events / events
            )
            return bool(_best(then.draws(FEWER_DRAWS))[leader] >= confidence)

        few, many = 1.0, FARTHEST
        if not would(many):
            return None
        while math.ceil(few * now) + 1 < math.ceil(many * now) and many / few > 1.02:
            middle = math.sqrt(few * many)
            few, many = (few, middle) if would(middle) else (middle, many)
        return max(math.ceil(many * now), now + 1)


def _best(draws: Float[np.ndarray, "draw chain"]) -> Float[np.ndarray, " chain"]:
    """How often each chain has the lowest number; equal ones, but for rounding, share."""
    lowest = draws <= draws.min(1, keepdims=True) + 1e-9 * np.ptp(draws)
    shares: Float[np.ndarray, " chain"] = (lowest / lowest.sum(1, keepdims=True)).mean(0)
    return shares


def _interval(
    regrets: Float[np.ndarray, "draw chain"], confidence: float
) -> tuple[Float[np.ndarray, " chain"], Float[np.ndarray, " chain"]]:
    """Central intervals; from 0 on for a chain that may well be the best."""
    tail = (1 - confidence) / 2
    from_zero = (regrets <= 0).mean(0) > tail
    low, high, one_sided = np.quantile(regrets, [tail, 1 - tail, confidence], axis=0)
    return np.where(from_zero, 0.0, low), np.where(from_zero, one_sided, high)


def _rounded(count: int) -> int:
    """Two digits of a large number."""
    size = int(10.0 ** max(len(str(count)) - 2, 0))
    return -(-count // size) * size
