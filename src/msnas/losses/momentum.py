"""Squared error of momenta."""

from __future__ import annotations

from typing import final

from jaxtyping import Float
from torch import Tensor

from msnas.errors import ConfigError
from msnas.losses.loss import Loss
from msnas.losses.parameter import check_parameter
from msnas.momentum import cartesian

UNIT = 100.0
"""Unit of momenta in the loss [GeV]; the paper scales its loss in GeV^2 by 1e-4."""


@final
class MomentumError(Loss):
    """|p1_pred - p1_true|^2 + |p2_pred - p2_true|^2 in (100 GeV)^2 (paper, L1 of section 4.1).

    `reduction="event_sum"` is the paper's formula; `"component_mean"` divides by the number of
    components (6 for two momenta), as the published code does: the same v1 then weighs it less.
    `fake_weight` is the weight of objects that do not count, if the task says which objects count.
    """

    def __init__(self, *, reduction: str = "event_sum", fake_weight: float = 0.0) -> None:
        super().__init__()
        if reduction not in ("event_sum", "component_mean"):
            raise ConfigError(
                f"loss.reduction: expected event_sum or component_mean, found {reduction!r}"
            )
        self.reduction = reduction
        check_parameter(fake_weight, key="loss.fake_weight")
        self.fake_weight = fake_weight

    def forward(
        self, output: Float[Tensor, "event particle 3"], target: Float[Tensor, "event particle 3"]
    ) -> Float[Tensor, " event"]:
        """Loss of every event from encoded momenta (log(0.1 + pT/GeV), eta, phi)."""
        difference = (cartesian(output) - cartesian(target)) / UNIT
        squares = difference.square().flatten(1)
        return squares.sum(1) if self.reduction == "event_sum" else squares.mean(1)
