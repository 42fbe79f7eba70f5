"""Bias and resolution of each momentum component, as metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from msnas.evaluation.variable_metric import VariableMetric
from msnas.evaluation.weighted import weighted_quantile
from msnas.momentum import decode_pt, wrap_angle


class MomentumResiduals(VariableMetric):
    """Keeps the residuals of every component: pT, eta, phi of each particle in turn.

    Residuals: (pT - pT_true) / pT_true, eta - eta_true, phi - phi_true wrapped to [-pi, pi).
    """

    full_state_update = False
    residuals: list[Tensor]
    weights: list[Tensor]

    def __init__(self, *, variables: Sequence[str]) -> None:
        super().__init__(variables=variables)
        self.add_state("residuals", default=[], dist_reduce_fx="cat")
        self.add_state("weights", default=[], dist_reduce_fx="cat")

    def update(
        self,
        output: Float[Tensor, "event particle 3"],
        target: Float[Tensor, "event particle 3"],
        weight: Float[Tensor, " event"] | None = None,
    ) -> None:
        """Add the momenta (log(0.1 + pT/GeV), eta, phi) of some events."""
        true_pt = decode_pt(target[..., 0])
        residuals = torch.stack(
            (
                (decode_pt(output[..., 0]) - true_pt) / true_pt.clamp(min=1e-3),
                output[..., 1] - target[..., 1],
                wrap_angle(output[..., 2] - target[..., 2]),
            ),
            -1,
        )
        self.residuals.append(residuals.flatten(1))
        if weight is not None:
            self.weights.append(weight)

    def quantile(self, share: float) -> Float[Tensor, " variable"]:
        """The quantile of every variable's residuals at the given share of events."""
        values = dim_zero_cat(self.residuals)
        if self.weights:
            return weighted_quantile(values, share, dim_zero_cat(self.weights))
        return torch.quantile(values, share, dim=0)


@final
class MomentumBias(MomentumResiduals):
    """Median residual: best at 0, so neither higher nor lower is better."""

    higher_is_better = None

    def compute(self) -> Float[Tensor, " variable"]:
        """The median residual of every variable."""
        return self.quantile(0.5)


@final
class MomentumResolution(MomentumResiduals):
    """Half the width of the central 68.27 % of the residuals."""

    higher_is_better = False

    def compute(self) -> Float[Tensor, " variable"]:
        """The resolution of every variable."""
        return (self.quantile(0.84135) - self.quantile(0.15865)) / 2
