"""Grid search's answer at a fraction of its trainings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor
from typing import final

from msnas.chain.chain import Chain, Path
from msnas.confidence import CONFIDENCE
from msnas.methods.method import Choice, Method
from msnas.race import REGRET, Rules
from msnas.scoring import Scoring
from msnas.training.fit import Fit
from msnas.training.train import Trained

FIRST_EPOCHS = 2
"""After which chains are dropped for the first time, then after twice as many, and so on."""

FINALISTS = 2
"""Chains that are trained to their end, to be compared."""


@final
@dataclass(frozen=True, kw_only=True)
class Race(Method):
    """Trains chains side by side and drops the worse half time and again.

    Successive halving (Jamieson and Talwalkar, arXiv:1502.07943), by the lowest validation loss so
    far: of the connected pre-trained chains, after 2 epochs, after 4, and so on, until two chains
    are left to be trained to their end. A chain that was dropped keeps its last epoch in the store,
    where a grid search goes on with it. `budget` is in whole trainings: no more chains are kept
    than it can train to their end.

    In a scan of several seeds a race is over chains and seeds (`msnas.race`): there `confidence`
    and `regret` end it; in a run, `confidence` is that of what is told about the finalists.
    """

    confidence: float = CONFIDENCE
    regret: float = REGRET
    budget: float | None = None

    def __post_init__(self) -> None:
        """Raise ConfigError for an option that is out of range."""
        self._rules()

    def _rules(self) -> Rules:
        return Rules(confidence=self.confidence, regret=self.regret, budget=self.budget)

    @property
    def ranks(self) -> bool:
        """The finalists."""
        return True

    def choose(self, chain: Chain, fit: Fit, scoring: Scoring) -> Choice:
        """The best of the finalists."""
        epochs: int = fit.plan.config["recipe"]["posttrain"]["epochs"]
        until = min(FIRST_EPOCHS, epochs)
        start = {score.path: score.ranked_by for score in scoring.rank(chain, chain.paths())}
        alive = list(start)
        if fit.plan.config["pretrain"]["enabled"] and all(
            map(chain.pretrains, range(len(alive[0])))
        ):
            alive = better_half(start)
        first = len(alive) * until + epochs - until
        self._rules().check_round(
            first / epochs, f"{until} epochs of {len(alive)} chains and all of one"
        )
        left = floor((self.budget or len(start)) * epochs + 1e-9)
        trainings: dict[Path, Trained] = {}
        at = 0
        while until < epochs:
            left -= len(alive) * (until - at)
            with fit.display.stage(f"Race: {len(alive)} chains, {until} epochs"):
                for path in alive:
                    trainings[path], _ = fit.posttrain(chain, path, until=until)
            losses = {
                path: start[path] if (loss := trainings[path].loss) is None else loss
                for path in alive
            }
            alive = better_half(losses)[: max(left // (epochs - until), 1)]
            at, until = until, 2 * until if len(alive) > FINALISTS else epochs
        scores = []
        with fit.display.stage(f"Race: {len(alive)} chains to their end"):
            for path in alive:
                trainings[path], finished = fit.posttrain(chain, path)
                scores += scoring.score(finished, [path], "valid")
        return Choice(
            path=min(scores, key=lambda one: one.ranked_by).path,
            scores=scores,
            trainings={" -> ".join(path): trained for path, trained in trainings.items()},
            confidence=self.confidence,
        )


def better_half(losses: Mapping[Path, float]) -> list[Path]:
    """The better half, the best first; no fewer than the finalists."""
    return sorted(losses, key=losses.__getitem__)[: max(ceil(len(losses) / 2), FINALISTS)]
