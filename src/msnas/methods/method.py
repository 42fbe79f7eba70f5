"""What a method is, and what a search method adds."""

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
"""Belief in each candidate of each task, sum 1 per task."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The chain a method chose, and the scores on validation data it chose by.

    `trainings` are trainings the choice itself needed, by name, such as a grid search's chains;
    `confidence` is that of what is told about the choice.
    """

    path: Path
    scores: list[ChainScore] = field(default_factory=list)
    trainings: Mapping[str, Trained] = field(default_factory=dict)
    probabilities: Probabilities | None = None
    confidence: float = CONFIDENCE


@dataclass(frozen=True, kw_only=True)
class Method(Part, ABC):
    """A way to a selected, trained chain; its fields are the options a user has."""

    @classmethod
    def option(cls) -> str:
        """What it is called where nobody gives it a name: `GridSearch` is `grid_search`."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    intermediate_loss: ClassVar[bool] = True
    """Whether the losses of all tasks count; if not, only the last one's."""

    def check(self, chain: Chain, weighting: Weighting) -> None:
        """Raise ConfigError for candidates or a weighting that the method cannot work with."""

    @property
    def ranks(self) -> bool:
        """Whether the chain of the lowest loss among several is taken."""
        return False

    def pretrained(self, chain: Chain, seed: int) -> list[tuple[int, str]]:
        """Level and name of the candidates to pre-train, unless `pretrain.enabled=false`.

        `seed` is that of all the method's own draws.
        """
        return [(level, name) for level, names in enumerate(chain.names()) for name in names]

    @abstractmethod
    def choose(self, chain: Chain, fit: Fit, scoring: Scoring) -> Choice:
        """Choose one candidate per task, on validation data."""

    def finish(self, chain: Chain, path: Path, fit: Fit) -> tuple[Mapping[str, Trained], Chain]:
        """Train the selected chain: end to end, from the weights it has by now."""
        with fit.display.stage("Post-training: the connected chain, end to end"):
            trained, finished = fit.posttrain(chain, path, selected=True)
        return {"chain": trained}, finished


class SearchMethod(Method):
    """A method that first trains all candidates together, as a super-network."""

    selection_settings: ClassVar[frozenset[str]] = frozenset()
    """Options that only `Search.select` reads: runs that differ in them share the super-network."""

    @abstractmethod
    def search(self, **of_stage: Any) -> Search:
        """The training of the super-network; `of_stage` is what `Search` is made with."""

    def choose(self, chain: Chain, fit: Fit, scoring: Scoring) -> Choice:
        """Train the super-network and select from it."""
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
    """The training of a super-network, and what it then selects."""

    weighting: Weighting

    def __init__(
        self, *, chain: Chain, weighting: Weighting, optimizer: OptimizerFactory, seed: int
    ) -> None:
        super().__init__(optimizer=optimizer, seed=seed)
        self.chain = chain
        self.weighting = weighting

    @abstractmethod
    def select(self, scoring: Scoring) -> Choice:
        """The chain that the trained super-network, or what was learnt with it, prefers."""

    def probabilities(self) -> Probabilities | None:
        """What the search has come to believe; None if it has no belief."""
        return None

    def by_name(self, values: Sequence[Tensor]) -> Probabilities:
        """One number per candidate of every task, from tensors [candidate], one per task."""
        return {
            task.name: {name: float(one.detach()) for name, one in zip(names, value, strict=True)}
            for task, names, value in zip(self.chain.tasks, self.chain.names(), values, strict=True)
        }

    def reads(self) -> set[str]:
        """The fields of all tasks."""
        return self.chain.reads()

    def weights(self) -> dict[str, Tensor]:
        """Parameters and buffers of all candidates and of the search itself."""
        return self.state_dict()

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Set them."""
        self.load_state_dict(dict(weights))


def has_dummies(candidates: nn.Module) -> bool:
    """Whether a dummy is among the candidates of a chain, or a candidate is one."""
    return any(getattr(module, "is_dummy", False) for module in candidates.modules())


def refuse_dummies(chain: Chain, *, method: str) -> None:
    """Raise ConfigError for a dummy candidate: it ruins the training of single chains."""
    for level, task in enumerate(chain.tasks):
        for name in chain.names()[level]:
            if has_dummies(chain.candidate(level, name)):
                raise ConfigError(
                    f"candidate/{task.name}: {name!r} is a dummy, which ruins the other "
                    f"candidates in method={method}; leave it out, or use darts or grid_search"
                )
