"""Whether what is stated of a choice is right: P(best), intervals of regret, tie sets.

    python benchmarks/sureness.py [repetitions=1000]
    python benchmarks/sureness.py runs=runs/htautau [repetitions=300] [seeds=5]

Without runs: banks of known truth, made anew in each repetition. With runs: grid searches that
differ in their seed; right is what all their seeds and events say, and each repetition draws some
seeds without, and as many events as there are with replacement. Banks need twice these seeds.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from races import banks_of, drawn
from rich.console import Console
from rich.table import Table

from msnas.confidence import how_sure

STATED = 0.95
"""P(best) from which on a choice is stated."""

Draw = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
"""True losses of the chains, and measured ones [chain, seed, event]."""


@dataclass(frozen=True, kw_only=True)
class Bank:
    """Chains of known truth: spreads of the truth, of trainings, of events, of both together."""

    chains: int = 9
    seeds: int = 5
    events: int = 400
    truth: float = 0.1
    tau: float = 0.05
    omega: float = 0.5
    sigma: float = 0.5
    odd: float = 0.0
    """By how much the trainings of chains differ in spread (of its logarithm)."""
    outlier: bool = False
    related: float = 0.0
    """What the chains of a square grid that share a candidate share, of truth and of events."""

    def draw(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """True losses, and measured ones."""

        def normal(*shape: int) -> np.ndarray:
            return generator.standard_normal(shape)

        size = self.chains, self.seeds, self.events
        truth = self.truth * normal(size[0])
        if self.outlier:
            truth[0] = 3.0
        tau = self.tau * np.exp(self.odd * normal(size[0], 1, 1))
        shared = 0.1 * normal(1, size[1], 1) + 1.5 * normal(1, 1, size[2])
        own = tau * normal(*size[:2], 1) + self.omega * normal(size[0], 1, size[2])
        if self.related:
            side = math.isqrt(size[0])
            for candidate in np.divmod(np.arange(size[0]), side):
                truth = truth + self.related * self.truth * normal(side)[candidate]
                own += self.related * self.omega * normal(side, 1, size[2])[candidate]
        return truth, truth[:, None, None] + shared + own + self.sigma * normal(*size)


BANKS = {
    "seeds_and_events": Bank(),
    "two_seeds": Bank(seeds=2),
    "seeds_dominate": Bank(seeds=3, tau=0.1),
    "events_dominate": Bank(truth=0.05, tau=0.005),
    "one_seed_no_spread": Bank(seeds=1, tau=0.0, truth=0.05),
    "close": Bank(truth=0.02),
    "wide": Bank(truth=0.4),
    "unequal_trainings": Bank(odd=0.5),
    "an_outlier": Bank(outlier=True, truth=0.05),
    "two_chains": Bank(chains=2),
    "shared_candidates": Bank(chains=16, related=4.0, truth=0.02, omega=0.2),
}


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What repetitions gave: how often a choice was stated, shares of what was said and right."""

    stated: int
    right: float
    expected: float
    covered: float
    tie_set: float
    tied: float


def judged(draw: Draw, repetitions: int, trained: np.ndarray | None = None) -> Kept:
    """Compare what is said of each draw with its truth."""
    generator = np.random.default_rng(1)
    stated, right, covered, tie_set, tied = [], [], [], [], []
    for _ in range(repetitions):
        truth, losses = draw(generator)
        sure = how_sure(losses, trained=trained)
        best, regrets = int(truth.argmin()), truth - truth.min()
        if sure.leader.best >= STATED:
            stated.append(sure.leader.best)
            right.append(sure.order[0] == best)
        covered += [
            one.low <= regret <= one.high for one, regret in zip(sure.chains, regrets, strict=True)
        ]
        tie_set.append(sure.chains[best].tied)
        tied.append(sure.tied)
    return Kept(
        stated=len(stated),
        right=float(np.mean(right)) if right else math.nan,
        expected=float(np.mean(stated)) if stated else math.nan,
        covered=float(np.mean(covered)),
        tie_set=float(np.mean(tie_set)),
        tied=float(np.mean(tied)),
    )


def resampled(bank: np.ndarray, seeds: int) -> Draw:
    """Some seeds and as many events of a bank [chain, seed, event], which is the truth."""
    truth = bank.mean((1, 2))

    def draw(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return truth, drawn(bank, generator)[:, :seeds]

    return draw


def main() -> None:
    """Print a row for each bank."""
    words = dict(word.split("=", 1) for word in sys.argv[1:])
    folder, seeds = words.pop("runs", None), int(words.pop("seeds", 5))
    repetitions = int(words.pop("repetitions", 300 if folder else 1000))
    banks: list[tuple[str, Draw]] = [(name, bank.draw) for name, bank in BANKS.items()]
    if folder is not None:
        banks = [
            (f"{name}, chains x seeds x events {bank.shape}", resampled(bank, seeds))
            for name, bank in banks_of(Path(folder), seeds=sys.maxsize)
            if bank.shape[1] >= 2 * seeds
        ]
    headings = "stated", "right", "expected", "intervals that cover", "tie sets that hold", "size"
    table = Table("bank", *headings, title=f"{repetitions} repetitions, stated: P >= {STATED}")
    for name, draw in banks:
        kept = judged(draw, repetitions)
        shares = kept.right, kept.expected, kept.covered, kept.tie_set
        table.add_row(name, f"{kept.stated}", *(f"{one:.3f}" for one in shares), f"{kept.tied:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
