"""How sure a choice among chains is, from their losses by seed and event. Imports no PyTorch.

The loss of chain j, trained with seed s, on event i is mu_j + t_js + e_ji + eps_jsi, and a part
that all chains share in a seed or an event and that cancels in differences. t (variance tau^2, the
same for all chains, as seeds are few) is the effect of the training, e that of the events. The mean
over S seeds and n events then has the covariance V = tau^2/S + cov(e + eps/S)/n: more seeds do not
shrink its second part.

The true mu are taken as normal around their mean with a covariance g^2 cov(e): chains whose losses
agree event by event, such as chains with a common candidate, are a priori near each other. With
independent mu, common effects would be taken for chance, and the regret of chains far behind would
come out too small. The spread g is not known, uniform a priori (Gelman, Bayesian Analysis 1 (2006)
515), so that the best of many similar chains does not look better than it is. A chain more than
five standard errors behind the leading chain is left out of that spread: it would hide that the
others are alike. The posterior gives, by Monte Carlo draws of a fixed seed: the probability of each
chain to be the best, its regret (by how much its mu is above the lowest), and the tie set, the
smallest set of chains that holds the best with the wanted confidence. With one seed tau^2 is not
known: then all statements are about the chains as they are trained.

Chains may have different seeds, as in a race: the means then come from a least-squares fit with a
level for each seed; the weights of the fit take the place of 1/S in V.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, final

import numpy as np
from jaxtyping import Bool, Float

from msnas.errors import ConfigError, DataError
from msnas.posterior import Means, Posterior, most_probable

CONFIDENCE = 0.95
"""The default confidence of a choice."""

DRAWS = 10_000
"""Number of draws from the posterior."""

TIGHTEST = 5
"""Number of seeds at which the confidence sequence is as tight as it can be."""

Over = Literal["both", "events"]
"""What could have been different: seeds and events, or events alone."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A chain among the others: `best` is the probability that none is better.

    `regret` is the expected regret, `low` and `high` are the ends of its interval.
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
    """The standing of each chain, in the order given, and how much more data would decide.

    `seed_error` (None: not known, or not asked for) and `event_error` are the standard errors of
    the leader's difference to its strongest rival. `enough_seeds` and `enough_events` are how many
    in all would decide, if the losses stay as they are; None where even many more would not.
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
        """Indices of the chains, the most probable best chain first."""
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
        """Whether seeds or events leave more open between the leader and its strongest rival."""
        return "seeds" if (self.seed_error or 0.0) > self.event_error else "events"

    def words(self) -> list[str]:
        """The meaning of these numbers, in sentences."""
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
            said.append("More seeds alone cannot decide this.")
        if told:
            said.append(f"If differences stay as they are, {' or '.join(told)} in all would do.")
        elif self.seed_error is not None:
            said.append("Nor can events alone.")
        return said


def check_confidence(value: float, *, key: str = "confidence") -> float:
    """`value`, if it can be the confidence of a choice; raise ConfigError if not."""
    if not 0.5 < value < 1:
        raise ConfigError(f"{key}: expected above 0.5, below 1, found {value}")
    return value


def anytime_confidence(sure: Sureness, confidence: float) -> float:
    """What P(best) must reach if it is looked at after every seed, for errors below 1 - confidence.

    With many looks a lead by chance is more frequent, as far as it comes from seeds. Their part in
    the variance of the leader's difference is therefore scaled by the ratio of the confidence
    sequence of Waudby-Smith et al. (arXiv:2103.06476, theorem 2.2, tightest at `TIGHTEST` seeds) to
    an interval, both exceeded with probability 1 - `confidence`.
    """
    from_seeds, from_events = (sure.seed_error or 0.0) ** 2, sure.event_error**2
    share = from_seeds / total if (total := from_seeds + from_events) > 0 else 0.0
    from scipy import special  # a tenth of a second to import: only where it is needed

    quantile = special.ndtri(confidence)
    wider = sequence_width(sure.seeds, confidence) / quantile
    return float(special.ndtr(quantile * math.sqrt(1 + share * (wider**2 - 1))))


def sequence_width(seeds: int, confidence: float) -> float:
    """Half-width of the confidence sequence after this many seeds, in standard errors of the mean.

    >>> round(sequence_width(5, 0.95), 2), round(sequence_width(20, 0.95), 2)
    (2.76, 2.86)
    """
    level = 2 * (1 - confidence)
    rho2 = (-2 * math.log(level) + math.log(1 - 2 * math.log(level))) / TIGHTEST
    reach = seeds * rho2 + 1
    return math.sqrt(2 * reach / (seeds * rho2) * math.log(math.sqrt(reach) / level))


def how_sure(
    losses: Float[np.ndarray, "chain seed event"],
    *,
    trained: Bool[np.ndarray, "chain seed"] | None = None,
    confidence: float = CONFIDENCE,
    over: Over | None = None,
    anytime: bool = False,
) -> Sureness:
    """How sure the choice among chains is; the lowest loss is best.

    `trained` tells which losses exist; None: all. `over` None means seeds and events if there are
    two seeds, else events alone. `anytime` is for a look after every seed: the error of seeds is
    then never estimated as 0. Raises ConfigError for an impossible confidence and for `over="both"`
    with one seed, DataError for losses that are not finite, of fewer than two chains or events, or
    of chains that share no seed.

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
    there = np.ones(losses.shape[:2], bool) if trained is None else trained
    if not np.isfinite(losses[there]).all():
        raise DataError("losses: found NaN or infinity, expected finite numbers")
    means = Means.of(losses, there)
    seeds, events = int(there.sum(1).max()), losses.shape[2]
    if over == "both" and not means.freedom:
        raise ConfigError(f"over: both needs two seeds, found {seeds}; allowed is events")
    known = Posterior.of(
        means,
        with_seeds=means.freedom > 0 and over != "events",
        by_mean=anytime,
    )
    draws = known.draws(DRAWS)
    best = most_probable(draws)
    regrets = draws - draws.min(1, keepdims=True)
    ranks = np.argsort(-best, kind="stable")
    size = int(np.searchsorted(best[ranks].cumsum(), confidence - 1e-9)) + 1
    tied = set(ranks[:size].tolist())
    low, high = _interval(regrets, confidence)
    leader, rival = ranks[:2].tolist()
    found = Sureness(
        confidence=confidence,
        seeds=seeds,
        events=events,
        chains=[
            Standing(
                loss=float(means.loss[one]),
                best=float(best[one]),
                regret=float(regrets[:, one].mean()),
                low=float(low[one]),
                high=float(high[one]),
                tied=one in tied,
            )
            for one in range(len(best))
        ],
        event_error=known.error(known.of_events, leader, rival),
        seed_error=known.error(known.tau2 * known.of_seeds, leader, rival)
        if known.tau2 is not None
        else None,
    )
    if found.decided:
        return found
    return replace(
        found,
        enough_seeds=known.enough(leader, confidence, seeds=seeds) if known.tau2 else None,
        enough_events=known.enough(leader, confidence, events=events),
    )


def _interval(
    regrets: Float[np.ndarray, "draw chain"], confidence: float
) -> tuple[Float[np.ndarray, " chain"], Float[np.ndarray, " chain"]]:
    """Central intervals of the regrets; they begin at 0 for a chain that may well be the best."""
    tail = (1 - confidence) / 2
    from_zero = (regrets <= 0).mean(0) > tail
    low, high, one_sided = np.quantile(regrets, [tail, 1 - tail, confidence], axis=0)
    return np.where(from_zero, 0.0, low), np.where(from_zero, one_sided, high)


def _rounded(count: int) -> int:
    """A large number rounded up to two digits."""
    size = int(10.0 ** max(len(str(count)) - 2, 0))
    return -(-count // size) * size
