"""What a method is, and what a search method adds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from msnas.chain.chain import Chain, Path
from msnas.errors import ConfigError
from msnas.evaluation.evaluate import ChainScore
from msnas.training.stage_module import OptimizerFactory, StageModule
from msnas.training.train import Trained
from msnas.weighting.weighting import Weighting

if TYPE_CHECKING:
    from msnas.study import Study


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The chain a method chose, and the scores on validation data it chose by.

    `trainings` are trainings the choice itself needed, by name, such as a grid search's chains.
    """

    path: Path
    scores: list[ChainScore] = field(default_factory=list)
    trainings: Mapping[str, Trained] = field(default_factory=dict)


class Method(ABC):
    """A way to a selected, trained chain.

    Its constructor may ask by name for `supernet` (the Chain of all candidates), `weighting`,
    `optimizer` (OptimizerFactory) and `seed`; what its YAML file holds comes on top.
    """

    intermediate_loss: ClassVar[bool] = True
    """Whether the losses of all tasks count; if not, only the last one's."""

    def pretrains(self, level: int, name: str) -> bool:
        """Whether a candidate is pre-trained, unless `pretrain.enabled=false`."""
        return True

    @abstractmethod
    def select(self, study: Study) -> Selection:
        """Choose one candidate per task, on validation data."""

    def finish(self, study: Study, path: Path) -> tuple[Mapping[str, Trained], Chain]:
        """Train the selected chain: end to end, from the weights it has by now."""
        trained, chain = study.posttrain(path)
        return {"chain": trained}, chain

    def probabilities(self) -> dict[str, dict[str, float]] | None:
        """Belief in each candidate of each task, sum 1 per task; None if a method has none."""
        return None


class SearchMethod(StageModule, Method):
    """A method that first trains all candidates together, as a super-network."""

    selection_settings: ClassVar[frozenset[str]] = frozenset()
    """Settings that only `select` reads: runs that differ in them share the super-network."""

    def __init__(
        self, *, supernet: Chain, weighting: Weighting, optimizer: OptimizerFactory, seed: int
    ) -> None:
        super().__init__(optimizer=optimizer, seed=seed)
        self.chain = supernet
        self.weighting = weighting

    def by_name(self, values: Sequence[Tensor]) -> dict[str, dict[str, float]]:
        """One number per candidate of every task, from tensors [candidate], one per task."""
        return {
            task.name: {name: float(one.detach()) for name, one in zip(names, value, strict=True)}
            for task, names, value in zip(self.chain.tasks, self.chain.names(), values, strict=True)
        }

    def reads(self) -> set[str]:
        """The fields of all tasks."""
        return self.chain.reads()

    def weights(self) -> dict[str, Tensor]:
        """Parameters and buffers of all candidates and of the method itself."""
        return self.state_dict()

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Set them."""
        self.load_state_dict(dict(weights))


def has_dummies(chain: Chain) -> bool:
    """Whether a dummy is among the candidates."""
    return any(getattr(module, "is_dummy", False) for module in chain.modules())


def refuse_dummies(chain: Chain, *, method: str) -> None:
    """Raise ConfigError for a dummy candidate: it ruins the training of single chains."""
    for level, task in enumerate(chain.tasks):
        for name in chain.names()[level]:
            if getattr(chain.candidate(level, name), "is_dummy", False):
                raise ConfigError(
                    f"candidate/{task.name}: {name!r} is a dummy, which ruins the other "
                    f"candidates in method={method}; leave it out, or use darts or grid_search"
                )
