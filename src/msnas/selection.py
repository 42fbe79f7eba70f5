"""The way to the best chain, trained (paper, Algorithm 1 and 2)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from msnas.chain.chain import Chain
from msnas.evaluation.evaluate import ChainScore
from msnas.methods.method import Choice
from msnas.parts import Parts
from msnas.training.train import Trained

log = logging.getLogger("msnas")


@final
@dataclass(frozen=True, kw_only=True)
class Selected:
    """The selected chain, trained; how it was chosen; its numbers on the validation part.

    `trainings` are all there were, by stage and name.
    """

    chain: Chain
    choice: Choice
    valid: ChainScore
    trainings: Mapping[str, Mapping[str, Trained]]


def select_chain(parts: Parts) -> Selected:
    """Train every candidate, choose one of each task, train the connected chain.

    Test events are not looked at.
    """
    method, fit, scoring = parts.method, parts.fit, parts.scoring
    pretrained = pretrain(parts) if parts.plan.config["pretrain"]["enabled"] else {}
    parts.condition()
    choice = method.choose(parts.chain, fit, scoring)
    log.info("selected %s", " -> ".join(choice.path))
    finished, chain = method.finish(parts.chain, choice.path, fit)
    (valid,) = scoring.score_at(chain, [choice.path], "valid", scoring.point)
    trainings = {"pretrain": pretrained, "search": choice.trainings, "posttrain": finished}
    return Selected(chain=chain, choice=choice, valid=valid, trainings=trainings)


def pretrain(parts: Parts, only: str | None = None) -> dict[str, Trained]:
    """Train the candidates that the method wants alone, on the truth.

    With `only`, just the one called so: `<task>/<candidate>`.
    """
    chain, fit = parts.chain, parts.fit
    with fit.display.stage("Pre-training: each candidate alone, on the truth"):
        return {
            chain.label(level, name): fit.pretrain(chain, level, name)
            for level, name in parts.method.pretrained(chain, fit.method_seed)
            if only in (None, chain.label(level, name))
            and chain.pretrains(level)
            and chain.trainable(level, name)
        }
