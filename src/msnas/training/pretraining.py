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
    """Minimises the loss of one task over the weights of one candidate (paper, Algorithm 1).

    Where batches hold the outputs of trained earlier tasks, they are its input, not the truth.
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
        """Names of the candidate's inputs, the task's truths and the outputs of earlier tasks."""
        return {*self._inputs, *self._task.truths, *self._handed_on}

    def descend(self, batch: Batch) -> Tensor:
        """Compute the gradient of the task's loss on a training batch."""
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
        """Load the candidate's parameters and buffers."""
        self.candidate.load_state_dict(weights)
