"""A race of chains: an approximate grid search that needs a fraction of its training time."""

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
"""Epochs after which chains are first dropped; again after twice as many epochs, and so on."""

FINALISTS = 2
"""Number of chains that are trained to their end and then compared."""


@final
@dataclass(frozen=True, kw_only=True)
class Race(Method):
    """Trains chains side by side and repeatedly drops the worse half.

    Successive halving (Jamieson and Talwalkar, arXiv:1502.07943) by the lowest validation loss so
    far: before the training (if candidates are pre-trained), after 2 epochs, after 4, and so on,
    until two chains are left, which are trained to their end. The store keeps the last epoch of a
    dropped chain, and a grid search can continue it. `budget` is a number of full trainings: no
    more chains are kept than it can train to their end.

    In a scan of several seeds the race is over chains and seeds (`msnas.race`), and `confidence`
    and `regret` end it. In a run, `confidence` is the level of statements about the finalists.
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
        """The finalist of the lowest loss is selected."""
        return True

    def choose(self, chain: Chain, fit: Fit, scoring: Scoring) -> Choice:
        """Run the race and choose the best of the finalists."""
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
    """The half of the chains with lower losses, the best first; at least FINALISTS chains."""
    return sorted(losses, key=losses.__getitem__)[: max(ceil(len(losses) / 2), FINALISTS)]
