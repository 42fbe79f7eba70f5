"""The mean of a loss, as a metric."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from msnas.libraries import Metric
from msnas.losses.loss import Loss
from msnas.part import Part


@final
class MeanLoss(Part, Metric):
    """Mean over events of `loss`, independent of the loss of the training; lower is better.

    With the momentum loss it is the paper's mean squared error: in units of (100 GeV)^2, summed
    over the components of both taus. (torchmetrics' mean squared error divides by their number.)
    """

    higher_is_better = False
    full_state_update = False
    total: Tensor
    events: Tensor

    def __init__(self, *, loss: Loss) -> None:
        super().__init__()
        self.loss = loss
        zero = torch.tensor(0.0, dtype=torch.float64)
        self.add_state("total", default=zero, dist_reduce_fx="sum")
        self.add_state("events", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(
        self, output: Tensor, target: Tensor, weight: Float[Tensor, " event"] | None = None
    ) -> None:
        """Add the outputs and truths of some events."""
        losses = self.loss(output, target)
        if weight is None:
            self.total += losses.sum(dtype=torch.float64)
            self.events += len(output)
        else:
            self.total += (losses * weight).sum(dtype=torch.float64)
            self.events = self.events + weight.sum(dtype=torch.float64)

    def compute(self) -> Tensor:
        """The mean loss, a scalar."""
        return self.total / self.events
