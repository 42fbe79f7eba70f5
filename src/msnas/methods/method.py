"""Base classes of all methods, and of methods with a super-network (search methods)."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from torch import Tensor, nn

from msnas.chain.chain import Chain, Path
from msnas.confidence import CONFIDENCE
from msnas.errors import ConfigError
from msnas.evaluation.evaluate import ChainScore
from msnas.part import Part
from msnas.scoring import Scoring
from msnas.training.fit import Fit
from msnas.training.stage_module import OptimizerFactory, StageModule
from msnas.training.train import Trained
from msnas.weighting.weighting import Weighting

Probabilities = dict[str, dict[str, float]]
"""A search's probability of each candidate of each task; they sum to 1 per task."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The chain a method chose, and the validation scores by which it was chosen.

    `trainings` are the trainings needed for the choice, by name, such as a grid search's chains;
    `confidence` is the confidence level of the statements reported about the choice.
    """

    path: Path
    scores: list[ChainScore] = field(default_factory=list)
    trainings: Mapping[str, Trained] = field(default_factory=dict)
    probabilities: Probabilities | None = None
    confidence: float = CONFIDENCE


@dataclass(frozen=True, kw_only=True)
class Method(Part, ABC):
    """A way to select and train a chain; its fields are the options that a user can set."""

    @classmethod
    def option(cls) -> str:
        """The default name of the method in the configuration: `grid_search` for `GridSearch`."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    intermediate_loss: ClassVar[bool] = True
    """Whether the losses of all tasks are trained; if not, only the last task's loss."""

    def check(self, chain: Chain, weighting: Weighting) -> None:
        """Raise ConfigError for candidates or a weighting that the method cannot work with."""

    @property
    def ranks(self) -> bool:
        """Whether the method selects, among several chains, the chain of the lowest loss."""
        return False

    def pretrained(self, chain: Chain, seed: int) -> list[tuple[int, str]]:
        """Level and name of the candidates to pre-train, unless `pretrain.enabled=false`.

        `seed` is the seed of all random draws of the method.
        """
        return [(level, name) for level, names in enumerate(chain.names()) for name in names]

    @abstractmethod
    def choose(self, chain: Chain, fit: Fit, scoring: Scoring) -> Choice:
        """Choose one candidate per task, by validation data."""

    def finish(self, chain: Chain, path: Path, fit: Fit) -> tuple[Mapping[str, Trained], Chain]:
        """Train the selected chain end to end, from its current weights."""
        with fit.display.stage("Post-training: the connected chain, end to end"):
            trained, finished = fit.posttrain(chain, path, selected=True)
        return {"chain": trained}, finished


class SearchMethod(Method):
    """A method that first trains all candidates together, as a super-network."""

    selection_settings: ClassVar[frozenset[str]] = frozenset()
    """Options that only `Search.select` reads: runs that differ in them share the super-network."""

    @abstractmethod
    def search(self, **of_stage: Any) -> Search:
        """The training of the super-network; `of_stage` are the arguments of `Search`."""

    def choose(self, chain: Chain, fit: Fit, scoring: Scoring) -> Choice:
        """Train the super-network and select a chain from it."""
        search = self.search(
            chain=chain,
            weighting=fit.fresh_weighting(),
            optimizer=fit.optimizer,
            seed=fit.method_seed,
        )
        trained = fit.search(chain, search, without=self.selection_settings)
        return replace(
            search.select(scoring),
            trainings={"super-network": trained},
            probabilities=search.probabilities(),
        )


class Search(StageModule):
    """The training of a super-network, and the selection of a chain from it."""

    weighting: Weighting

    def __init__(
        self, *, chain: Chain, weighting: Weighting, optimizer: OptimizerFactory, seed: int
    ) -> None:
        super().__init__(optimizer=optimizer, seed=seed)
        self.chain = chain
        self.weighting = weighting

    @abstractmethod
    def select(self, scoring: Scoring) -> Choice:
        """The best chain according to the trained super-network or the learnt probabilities."""

    def probabilities(self) -> Probabilities | None:
        """The probabilities that the search has learnt; None if it learns no probabilities."""
        return None

    def by_name(self, values: Sequence[Tensor]) -> Probabilities:
        """One number per candidate of every task, from tensors [candidate], one per task."""
        return {
            task.name: {name: float(one.detach()) for name, one in zip(names, value, strict=True)}
            for task, names, value in zip(self.chain.tasks, self.chain.names(), values, strict=True)
        }

    def reads(self) -> set[str]:
        """Names of the fields that all tasks and candidates read, truths included."""
        return self.chain.reads()

    def weights(self) -> dict[str, Tensor]:
        """Parameters and buffers of all candidates and of the search itself."""
        return self.state_dict()

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Load parameters and buffers of all candidates and of the search itself."""
        self.load_state_dict(dict(weights))


def has_dummies(candidates: nn.Module) -> bool:
    """Whether a chain has a dummy among its candidates, or a candidate is a dummy."""
    return any(getattr(module, "is_dummy", False) for module in candidates.modules())


def refuse_dummies(chain: Chain, *, method: str) -> None:
    """Raise ConfigError for a dummy: chains with a dummy ruin the training of other candidates."""
    for level, task in enumerate(chain.tasks):
        for name in chain.names()[level]:
            if has_dummies(chain.candidate(level, name)):
                raise ConfigError(
                    f"candidate/{task.name}: {name!r} is a dummy, which ruins the other "
                    f"candidates in method={method}; leave it out, or use darts or grid_search"
                )
