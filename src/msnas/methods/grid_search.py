"""Grid search: every chain is trained end to end, and the best is selected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from msnas.chain.chain import Chain
from msnas.evaluation.select_by import higher_is_better, number_of
from msnas.methods.method import Choice, Method
from msnas.scoring import Scoring
from msnas.training.fit import Fit


@final
@dataclass(frozen=True, kw_only=True)
class GridSearch(Method):
    """Trains every chain end to end from the same pre-trained candidates and selects the best.

    `select_by` is the validation number that decides: `loss` (weighted, as in training),
    `worst_case` (the loss under the worst shift), `measurement` (the uncertainty of a signal
    strength), or a metric such as `higgs_id/auc`, with the metric's direction. Trained chains are
    stored: an interrupted search continues with the chain at which it stopped.
    """

    select_by: str = "loss"

    @property
    def ranks(self) -> bool:
        """Whether the chain of the lowest loss is selected: only if `select_by` is `loss`."""
        return self.select_by == "loss"

    def choose(self, chain: Chain, fit: Fit, scoring: Scoring) -> Choice:
        """Train all chains and choose the best."""
        higher = higher_is_better(chain, self.select_by, key="method.select_by")
        trainings, scores = {}, []
        with fit.display.stage("Search: every chain, end to end"):
            for path in chain.paths():
                trained, finished = fit.posttrain(chain, path)
                trainings[" -> ".join(path)] = trained
                scores += scoring.score(finished, [path], "valid")
        sign = -1 if higher else 1
        best = min(scores, key=lambda one: sign * number_of(one, self.select_by))
        return Choice(path=best.path, scores=scores, trainings=trainings)
