"""The share of right classes, as a metric."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torchmetrics import Metric


@final
class ClassAccuracy(Metric):
    """How often the class of the largest logit is the true one; higher is better.

    Counted over everything there is to classify, so an event of two digits counts twice.
    (torchmetrics' own multi-class accuracy expects the classes along the second axis.)

    Example:
        >>> accuracy = ClassAccuracy()
        >>> accuracy.update(torch.tensor([[[3.0, 1.0], [0.0, 2.0]]]), torch.tensor([[0, 0]]))
        >>> float(accuracy.compute())
        0.5

    """

    higher_is_better = True
    full_state_update = False
    right: Tensor
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("right", default=torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("total", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(
        self, output: Float[Tensor, "event ... class"], target: Integer[Tensor, "event ..."]
    ) -> None:
        """Add the logits and truths of some events."""
        self.right += (output.argmax(-1) == target).sum()
        self.total += target.numel()

    def compute(self) -> Tensor:
        """The share of right ones, a scalar."""
        return self.right / self.total
