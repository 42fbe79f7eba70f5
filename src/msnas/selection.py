"""Selects the best chain and trains it (paper, Algorithm 1 and 2)."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from msnas.chain.chain import Chain, Path
from msnas.confidence import CONFIDENCE, Sureness, how_sure
from msnas.data.events import Batch
from msnas.data.module import event_count
from msnas.errors import NotStoredError
from msnas.evaluation.evaluate import ChainScore, collect_outputs
from msnas.evaluation.outputs import kept_chains
from msnas.methods.method import Choice
from msnas.parts import Parts
from msnas.terminal import CHAIN
from msnas.training.train import Trained

log = logging.getLogger("msnas")


LATENCY_EVENTS, LATENCY_PASSES = 1000, 5
"""Number of events whose outputs are timed, and of passes; the fastest pass counts."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """Number of trainable parameters of a chain, and its computing time per event [s]."""

    parameters: int
    latency: float


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The chains that were ranked (the best of them), and how sure it is which is best.

    `sizes` are the sizes of the chains in the tie set, if the choice was by size.
    """

    paths: Sequence[Path]
    sure: Sureness
    sizes: Mapping[Path, Size]


@final
@dataclass(frozen=True, kw_only=True)
class Selected:
    """The selected chain, trained; how it was chosen; its numbers on the validation part.

    `trainings` are all trainings, by stage and name. `judged` is None without two ranked chains.
    `default` takes each task's best pre-trained candidate; None where a task has none.
    """

    chain: Chain
    choice: Choice
    judged: Judged | None
    valid: ChainScore
    trainings: Mapping[str, Mapping[str, Trained]]
    default: Path | None


def select_chain(parts: Parts) -> Selected:
    """Train every candidate, choose a candidate of each task, train the connected chain.

    Test events are not used.
    """
    method, fit, scoring = parts.method, parts.fit, parts.scoring
    pretrained = pretrain(parts) if parts.plan.config["pretrain"]["enabled"] else {}
    parts.condition()
    default = default_path(parts.chain, pretrained)
    choice = method.choose(parts.chain, fit, scoring)
    judged = judge(choice.scores, confidence=choice.confidence)
    if judged is not None and (by := parts.plan.config.get("selection")) is not None:
        judged, choice = take_by_size(parts, judged, choice, by=by)
    log.info("selected %s", CHAIN.join(choice.path))
    finished, chain = method.finish(parts.chain, choice.path, fit)
    (valid,) = scoring.score_at(chain, [choice.path], "valid", scoring.point)
    return Selected(
        chain=chain,
        choice=choice,
        judged=judged,
        valid=valid,
        trainings={"pretrain": pretrained, "search": choice.trainings, "posttrain": finished},
        default=default,
    )


def chosen_again(parts: Parts) -> list[ChainScore]:
    """The scores by which a choice was made; empty if the closed store lacks a training.

    The candidates are conditioned afterwards, if so configured, in either case.
    """
    stored = True
    try:
        if parts.plan.config["pretrain"]["enabled"]:
            pretrain(parts)
    except NotStoredError:
        stored = False
    parts.condition()
    with suppress(NotStoredError):
        return parts.method.choose(parts.chain, parts.fit, parts.scoring).scores if stored else []
    return []


def judge(scores: Sequence[ChainScore], *, confidence: float = CONFIDENCE) -> Judged | None:
    """How sure the choice among ranked chains is; None without two chains to choose from."""
    kept = [scores[place] for place in kept_chains(scores)]
    if len(kept) < 2:
        return None
    losses = np.stack([score.event_losses.double().numpy() for score in kept])
    sure = how_sure(losses[:, None], confidence=confidence)
    return Judged(paths=[score.path for score in kept], sure=sure, sizes={})


def take_by_size(parts: Parts, judged: Judged, choice: Choice, *, by: str) -> tuple[Judged, Choice]:
    """Choose the chain of the tie set with the fewest parameters, or the lowest latency.

    Of chains of equal size the most probable chain. Also returns all sizes.
    """
    tied = [judged.paths[place] for place in judged.sure.order[: judged.sure.tied]]
    valid = parts.scoring.spread_validation()
    few = {name: value[:LATENCY_EVENTS] for name, value in valid.items()}
    sizes = {path: size_of(parts.chain.only(path), few, parts.scoring.batch) for path in tied}

    def size(path: Path) -> float:
        return sizes[path].parameters if by == "parsimonious" else sizes[path].latency

    return replace(judged, sizes=sizes), replace(choice, path=min(tied, key=size))


def size_of(chain: Chain, events: Batch, batch: int) -> Size:
    """Parameters of a single chain, and its latency on these events in batches of `batch`."""
    seconds = []
    for _ in range(LATENCY_PASSES):
        start = time.perf_counter()
        for output in collect_outputs(chain, events, paths=chain.paths(), batch=batch).values():
            output.cpu()  # waits until a graphics card is done
        seconds.append(time.perf_counter() - start)
    return Size(parameters=chain.parameter_count(), latency=min(seconds) / event_count(events))


def default_path(chain: Chain, pretrained: Mapping[str, Trained]) -> Path | None:
    """Each task's candidate of lowest validation loss on the truth; None if a task has none."""
    path = []
    for level, names in enumerate(chain.names()):
        losses = {
            name: loss
            for name in names
            if (one := pretrained.get(chain.label(level, name))) and (loss := one.loss) is not None
        }
        if not losses:
            return None
        path.append(min(losses, key=losses.__getitem__))
    return tuple(path)


def refit(parts: Parts, path: Path) -> tuple[dict[str, Trained], Chain]:
    """Train one chain with the given parts, from fresh weights; return trainings and chain."""
    pretrained = pretrain(parts, path=path) if parts.plan.config["pretrain"]["enabled"] else {}
    parts.condition()
    finished, chain = parts.method.finish(parts.chain, path, parts.fit)
    return {**pretrained, **finished}, chain


def pretrain(parts: Parts, only: str | None = None, path: Path | None = None) -> dict[str, Trained]:
    """Train each candidate that the method pre-trains alone, on the truth.

    With `only` just the candidate `<task>/<candidate>`; with `path` just those of a chain.
    """
    chain, fit = parts.chain, parts.fit
    with fit.display.stage("Pre-training: each candidate alone, on the truth"):
        return {
            label: fit.pretrain(chain, level, name)
            for label, (level, name) in pretrained(parts).items()
            if only in (None, label) and (path is None or path[level] == name)
        }


def pretrained(parts: Parts) -> dict[str, tuple[int, str]]:
    """Level and name of the candidates that the method pre-trains, by `<task>/<candidate>`."""
    chain = parts.chain
    return {
        chain.label(level, name): (level, name)
        for level, name in parts.method.pretrained(chain, parts.fit.method_seed)
        if chain.pretrains(level) and chain.trainable(level, name)
    }
