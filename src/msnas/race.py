"""A race of chains over seeds: which trainings come next, and when it ends. Imports no PyTorch.

The first round trains every chain with two seeds. Later rounds train pairs of chains drawn by
P(best), which is top-two Thompson sampling (Russo, arXiv:1602.08448): a pair is trained with the
first seed that not both have, so that the two differ in nothing else. The race ends by the Bayesian
rule (Shang et al., arXiv:1910.10945), with a P(best) that is valid after every round
(`msnas.confidence.anytime_confidence`). The next round depends on the losses of complete rounds
alone: neither interruptions nor the number of workers change anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from msnas.confidence import (
    CONFIDENCE,
    Sureness,
    anytime_confidence,
    check_confidence,
    how_sure,
)
from msnas.errors import ConfigError
from msnas.identity import derived_seed

REGRET = 0.002
"""Regret in the weighted loss that does not matter."""

FIRST_SEEDS = 2
"""Seeds of every chain in the first round: fewer tell nothing about the spread of trainings."""

ROUND = 4
"""Trainings of a later round, if enough are left: they can run side by side."""

DROPPED = 0.005
"""P(best) below which a chain is not drawn."""

DRAWS = 100
"""At most this many pairs are drawn for a round."""

Training = tuple[int, int]
"""The index of a chain and the index of a seed."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """When a race ends: P(best), expected regret (weighted loss), or the number of trainings."""

    confidence: float = CONFIDENCE
    regret: float = REGRET
    budget: float | None = None

    def __post_init__(self) -> None:
        """Raise ConfigError for a value out of range."""
        check_confidence(self.confidence, key="method.confidence")
        if not self.regret >= 0:
            raise ConfigError(f"method.regret: expected >= 0, found {self.regret}")
        if self.budget is not None and not self.budget > 0:
            raise ConfigError(f"method.budget: expected a number > 0 or null, found {self.budget}")

    def check_round(self, needed: float, what: str) -> None:
        """Raise ConfigError for a budget below the trainings `needed` for `what`."""
        if self.budget is not None and not self.budget >= needed:
            raise ConfigError(
                f"method.budget: {self.budget:g} trainings are less than one round, "
                f"{what} ({needed:g}); allowed is {needed:g} or more"
            )


@final
class RaceOverSeeds:
    """A race in progress: `round` has the trainings whose losses it waits for.

    When the race is over, `round` is empty, `over` says why; `sure` is how sure the choice is.
    """

    def __init__(self, *, chains: int, seeds: int, rules: Rules) -> None:
        first = min(FIRST_SEEDS, seeds)
        rules.check_round(chains * first, f"{first} seeds of each of {chains} chains")
        self.seeds = seeds
        self.rules = rules
        self.counts = [first] * chains
        self.rounds = [[(chain, seed) for chain in range(chains) for seed in range(first)]]
        self.sure: Sureness | None = None
        self.over: str | None = None

    @property
    def round(self) -> list[Training]:
        """The trainings to do now."""
        return [] if self.over else self.rounds[-1]

    @property
    def trainings(self) -> int:
        """Number of trainings, those of `round` included."""
        return sum(self.counts)

    def take(self, losses: Mapping[Training, Float[np.ndarray, " event"]]) -> None:
        """Take the losses of all trainings so far; end the race or draw the next round."""
        size = len(losses[0, 0])
        table = np.zeros((len(self.counts), max(self.counts), size))
        trained = np.zeros(table.shape[:2], bool)
        for chain, count in enumerate(self.counts):
            for seed in range(count):
                table[chain, seed], trained[chain, seed] = losses[chain, seed], True
        self.sure = how_sure(table, trained=trained, confidence=self.rules.confidence, anytime=True)
        self.over = self._decided(self.sure)
        if self.over is None and (drawn := self._draw(self.sure)):
            self.rounds.append(drawn)
            for chain, _ in drawn:
                self.counts[chain] += 1
        elif self.over is None:
            spent = self.rules.budget is not None and self.trainings + 2 > self.rules.budget
            self.over = "the budget is spent" if spent else "all seeds are used"

    def _decided(self, sure: Sureness) -> str | None:
        leader = sure.leader
        if leader.best >= anytime_confidence(sure, self.rules.confidence):
            return f"P(best) is {leader.best:.3f}"
        if leader.regret < self.rules.regret:
            return f"the expected regret is {leader.regret:.2g}"
        if not sure.decided and sure.dominates == "events" and sure.enough_seeds is None:
            return "events dominate, more seeds would not decide it"
        return None

    def _draw(self, sure: Sureness) -> list[Training]:
        """The next round, as far as seeds and budget reach."""
        best = np.array([one.best for one in sure.chains])
        best[[place for place in sure.order[2:] if best[place] < DROPPED]] = 0.0
        generator = np.random.default_rng(derived_seed("race", len(self.rounds)))
        counts = list(self.counts)
        drawn: list[Training] = []
        for _ in range(DRAWS):
            pair = generator.choice(len(best), 2, replace=False, p=best / best.sum()).tolist()
            seed = min(counts[chain] for chain in pair)
            new = [(chain, seed) for chain in sorted(pair) if counts[chain] == seed]
            left = (self.rules.budget or np.inf) - sum(counts)
            if len(drawn) >= ROUND or len(new) > left:
                break
            if seed < self.seeds:
                drawn += new
                for chain, _ in new:
                    counts[chain] += 1
        return drawn
