"""Every chain, trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from msnas.methods.method import Method, Selection
from msnas.scoring import higher_is_better

if TYPE_CHECKING:
    from msnas.study import Study


@final
class GridSearch(Method):
    """Trains every chain end to end from the same pre-trained candidates and takes the best.

    `select_by` is what decides on validation data: `loss` (weighted, as trained), or a metric
    such as `higgs_id/auc`, whose own direction tells what is better. Trained chains are kept: an
    interrupted search goes on with the chain it was at.
    """

    def __init__(self, *, select_by: str) -> None:
        self.select_by = select_by

    def select(self, study: Study) -> Selection:
        """The best chain after training them all."""
        higher = higher_is_better(study.chain, self.select_by, key="method.select_by")
        trainings, scores = {}, []
        with study.display.stage("Search: every chain, end to end"):
            for path in study.chain.paths():
                trained, chain = study.train_chain(path)
                trainings[" -> ".join(path)] = trained
                scores += study.scoring.score(chain, [path], "valid")
        sign = -1 if higher else 1
        by_loss = self.select_by == "loss"
        best = min(
            scores,
            key=lambda one: one.ranked_by if by_loss else sign * one.values[self.select_by],
        )
        return Selection(path=best.path, scores=scores, trainings=trainings)
