"""Pre-training: one candidate alone, on its own task, with the truth as input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import final

from torch import Tensor

from msnas.chain.chain import Chain, handed_on
from msnas.data.events import Batch
from msnas.training.stage_module import OptimizerFactory, StageModule


@final
class Pretraining(StageModule):
    """Descends the loss of one task for one candidate (paper, Algorithm 1).

    Batches may hold what trained tasks before it hand on: then it learns from that instead.
    """

    def __init__(
        self, *, chain: Chain, level: int, name: str, optimizer: OptimizerFactory, seed: int
    ) -> None:
        super().__init__(optimizer=optimizer, seed=seed)
        self.candidate = chain.candidate(level, name)
        self._run: Callable[[Batch], Tensor] = partial(chain.run_on_truth, level=level, name=name)
        self._task = chain.tasks[level]
        self._inputs = chain.inputs(level, name)
        self._handed_on = [handed_on(task) for task in chain.tasks[:level]]

    def reads(self) -> set[str]:
        """What the candidate reads, the task's truths, and what tasks before it hand on."""
        return {*self._inputs, *self._task.truths, *self._handed_on}

    def descend(self, batch: Batch) -> Tensor:
        """One gradient of the task's loss."""
        loss = self._task.mean_loss(self._run(batch), batch)
        self.manual_backward(loss)
        return loss

    def validate_batch(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss."""
        return {"loss": self._task.mean_loss(self._run(batch), batch)}

    def weights(self) -> dict[str, Tensor]:
        """The candidate's parameters and buffers."""
        return self.candidate.state_dict()

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Set them."""
        self.candidate.load_state_dict(weights)
