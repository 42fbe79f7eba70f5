"""Methods without a search: the chain is given or drawn; and ways to train it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import torch

from msnas.chain.chain import Chain, Path, handed_on
from msnas.data.events import Events
from msnas.errors import ConfigError
from msnas.evaluation.evaluate import collect_outputs
from msnas.methods.method import Choice, Method
from msnas.scoring import Scoring
from msnas.training.fit import Fit
from msnas.training.train import Trained
from msnas.weighting.weighting import Weighting


@final
@dataclass(frozen=True, kw_only=True)
class FixedChain(Method):
    """Trains a given chain by one of the two strategies of the paper's section 4.4.1.

    With `reoptimise`, the candidates are pre-trained on the truth, connected and trained end to
    end; without, each candidate is trained on the outputs of the frozen earlier candidates.
    """

    chain: Sequence[str] | None = None
    reoptimise: bool = True

    def check(self, chain: Chain, weighting: Weighting) -> None:
        """Raise ConfigError unless `chain` names one candidate of every task."""
        check_path(self.chain, chain)

    def pretrained(self, chain: Chain, seed: int) -> list[tuple[int, str]]:
        """The chain's own candidates; without re-optimisation they are trained in sequence."""
        return list(enumerate(check_path(self.chain, chain))) if self.reoptimise else []

    def choose(self, chain: Chain, fit: Fit, scoring: Scoring) -> Choice:
        """The given chain."""
        return Choice(path=check_path(self.chain, chain))

    def finish(self, chain: Chain, path: Path, fit: Fit) -> tuple[Mapping[str, Trained], Chain]:
        """Train end to end, or task after task."""
        if self.reoptimise:
            return super().finish(chain, path, fit)
        return train_sequentially(chain, path, fit)


def check_path(path: Sequence[str] | None, chain: Chain) -> Path:
    """`path` as one candidate per task of `chain`; else raise ConfigError."""
    names = chain.names()
    if path is None or len(path) != len(names):
        raise ConfigError(
            f"method.chain: expected one candidate of each of {names}, found {path}; "
            "give method.chain=[...]"
        )
    for name, allowed in zip(path, names, strict=True):
        if name not in allowed:
            raise ConfigError(f"method.chain: {name!r} is not a candidate; allowed are {allowed}")
    return tuple(path)


@final
@dataclass(frozen=True, kw_only=True)
class EndToEnd(Method):
    """Trains a given chain from fresh weights on the last task's loss alone (the talk).

    There is no pre-training and no intermediate loss, so the intermediate outputs have no physical
    meaning. On a problem of one task, such as `htautau_direct`, it trains a single model.
    """

    intermediate_loss: ClassVar[bool] = False

    chain: Sequence[str] | None = None

    def check(self, chain: Chain, weighting: Weighting) -> None:
        """Raise ConfigError unless `chain` names one candidate of every task."""
        check_path(self.chain, chain)

    def pretrained(self, chain: Chain, seed: int) -> list[tuple[int, str]]:
        """No candidates: nothing is pre-trained."""
        return []

    def choose(self, chain: Chain, fit: Fit, scoring: Scoring) -> Choice:
        """The given chain."""
        return Choice(path=check_path(self.chain, chain))


@final
@dataclass(frozen=True, kw_only=True)
class RandomChoice(Method):
    """Trains a random chain, pre-trained and then end to end: a baseline for any search."""

    def pretrained(self, chain: Chain, seed: int) -> list[tuple[int, str]]:
        """The candidates of the drawn chain."""
        return list(enumerate(draw_path(chain, seed)))

    def choose(self, chain: Chain, fit: Fit, scoring: Scoring) -> Choice:
        """The chain drawn from the seed."""
        return Choice(path=draw_path(chain, fit.method_seed))


def draw_path(chain: Chain, seed: int) -> Path:
    """A uniformly random chain, drawn from `seed`."""
    return chain.draw(torch.Generator().manual_seed(seed))


def train_sequentially(chain: Chain, path: Path, fit: Fit) -> tuple[dict[str, Trained], Chain]:
    """Train task after task, each on the outputs of frozen earlier tasks (paper, section 4.4.1).

    The first task is trained as in pre-training. The inputs of a task are computed only once,
    because earlier tasks are frozen. Returns the trainings by `<task>/<name>`, and the chain.
    """
    if without := [task.name for task in chain.tasks if not task.supervised]:
        raise ConfigError(
            f"method.reoptimise=false: {without[0]!r} has no loss of its own and learns only in a "
            "connected chain; use method.reoptimise=true"
        )
    chain = copy.deepcopy(chain.only(path))
    trainings: dict[str, Trained] = {}
    events = fit.events
    with fit.display.stage("Training task after task, on the outputs of those before"):
        for level, (task, name) in enumerate(zip(chain.tasks, path, strict=True)):
            if chain.trainable(level, name):
                trainings[f"{task.name}/{name}"] = (
                    fit.pretrain(chain, level, name, told="posttrain")
                    if level == 0
                    else fit.train_behind(chain, level, name, events)
                )
            if level + 1 < len(path):
                events = _with_output(events, chain, path, level, batch=fit.evaluation_batch)
    return trainings, chain


def _with_output(events: Events, chain: Chain, path: Path, level: int, *, batch: int) -> Events:
    """The training and validation events with the output of the task at `level` added."""
    task = chain.tasks[level]
    extended = []
    for values in (events.train, events.valid):
        output = collect_outputs(chain, values, paths=[path], batch=batch)[path[: level + 1]]
        extended.append({**values, handed_on(task): task.hand_on(output)})
    train, valid = extended
    return dataclasses.replace(events, train=train, valid=valid)
