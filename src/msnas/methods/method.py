"""What a search method is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from msnas.chain.chain import Chain, Path
from msnas.data.events import Batch
from msnas.evaluation.evaluate import ChainScore
from msnas.training.stage_module import OptimizerFactory, StageModule
from msnas.weighting.weighting import Weighting


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The chain a method chose, and the scores on validation data it chose by."""

    path: Path
    scores: list[ChainScore] = field(default_factory=list)


class SearchMethod(StageModule):
    """Trains the candidates of a chain together, then selects one per task on validation data.

    A method gets the chain (its candidates pre-trained, unless that is switched off) and a
    weighting, is trained by `Trainer.fit`, and then answers `select` and `probabilities`.
    """

    def __init__(
        self, *, chain: Chain, weighting: Weighting, optimizer: OptimizerFactory, seed: int
    ) -> None:
        super().__init__(optimizer=optimizer, seed=seed)
        self.chain = chain
        self.weighting = weighting

    @abstractmethod
    def select(self, valid: Batch, *, batch: int) -> Selection:
        """Choose on the validation events, `batch` of them at a time."""

    def probabilities(self) -> dict[str, dict[str, float]] | None:
        """Belief in each candidate of each task, sum 1 per task; None if a method has none."""
        return None

    def weights(self) -> dict[str, Tensor]:
        """Parameters and buffers of all candidates."""
        return self.chain.state_dict()

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Set them."""
        self.chain.load_state_dict(weights)
