"""Squared error of any regression."""

from __future__ import annotations

from typing import final

from jaxtyping import Float
from torch import Tensor

from msnas.losses.loss import Loss


@final
class SquaredError(Loss):
    """Sum over an event's components of (output - target)^2, in the target's own units."""

    def forward(
        self, output: Float[Tensor, "event ..."], target: Float[Tensor, "event ..."]
    ) -> Float[Tensor, " event"]:
        """Loss of every event."""
        return (output - target).square().reshape(len(output), -1).sum(1)
