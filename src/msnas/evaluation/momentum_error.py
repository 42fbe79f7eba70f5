"""Squared error of momenta as a metric."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric

from msnas.losses.momentum import UNIT
from msnas.momentum import cartesian


@final
class MomentumSquaredError(Metric):
    """Mean over events of the summed |p_pred - p_true|^2 of all particles, in (100 GeV)^2.

    The same quantity as the paper's L1, whatever loss was trained.
    """

    higher_is_better = False
    is_differentiable = True
    full_state_update = False
    total: Tensor
    events: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", default=torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("events", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(
        self, output: Float[Tensor, "event particle 3"], target: Float[Tensor, "event particle 3"]
    ) -> None:
        """Add events: encoded momenta (log(0.1 + pT/GeV), eta, phi)."""
        difference = (cartesian(output) - cartesian(target)) / UNIT
        self.total += difference.square().sum(dtype=torch.float64)
        self.events += len(output)

    def compute(self) -> Tensor:
        """The mean, a scalar."""
        return self.total / self.events
