"""Post-training (re-optimisation): one connected chain, all its tasks at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from torch import Tensor

from msnas.chain.chain import Chain
from msnas.data.events import Batch
from msnas.training.stage_module import OptimizerFactory, StageModule
from msnas.weighting.weighting import Weighting


@final
class Posttraining(StageModule):
    """Minimises sum_t v_t L_t for a chain of one candidate per task (paper, Algorithm 1)."""

    weighting: Weighting

    def __init__(
        self,
        *,
        chain: Chain,
        weighting: Weighting,
        optimizer: OptimizerFactory,
        seed: int,
    ) -> None:
        super().__init__(optimizer=optimizer, seed=seed)
        self.chain = chain
        (self.path,) = chain.paths()
        self.weighting = weighting

    def descend(self, batch: Batch) -> Tensor:
        """Compute the gradient of the weighted loss on a training batch."""
        outputs = self.chain.run(batch, self.path)
        return self.weighting.descend(
            self.chain.losses(outputs, batch), shared=outputs[0], backward=self.manual_backward
        )

    def validate_batch(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted loss, and the loss of every task."""
        losses = self.chain.losses(self.chain.run(batch, self.path), batch)
        return {"loss": self.weighting.combine(losses), **self.chain.own_losses(losses)}

    def epoch_record(self) -> dict[str, Any]:
        """What the weighting records of the tasks' gradients and weights."""
        return self.weighting.take_record([task.name for task in self.chain.supervised()])

    def reads(self) -> set[str]:
        """Names of the tensors that the chain's candidates read, and of the truths of all tasks."""
        read = {
            one for level, name in enumerate(self.path) for one in self.chain.inputs(level, name)
        }
        return read.union(*(task.truths for task in self.chain.tasks))

    def weights(self) -> dict[str, Tensor]:
        """The chain's parameters and buffers."""
        return self.chain.state_dict()

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Load the chain's parameters and buffers."""
        self.chain.load_state_dict(weights)
