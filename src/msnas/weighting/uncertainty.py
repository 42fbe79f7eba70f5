"""Task weights from learned uncertainties."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor
from torchjd.scalarization import UW

from msnas.weighting.weighting import Weighting


@final
class Uncertainty(Weighting):
    """Descends sum_t (exp(-s_t) L_t + s_t) / 2, with s_t = log sigma_t^2 learned alongside.

    Kendall et al., arXiv:1705.07115, section 3.2: sigma_t is the noise of task t's observations.
    s_t starts at 0 and is one more parameter for the stage's optimiser; for a loss that stays as
    it is, it ends at log L_t. The paper has exp(-s_t) without the 1/2 for a classification: the
    same function of s_t - log 2, so only the start differs, and here all tasks start equal.
    """

    def _prepare(self, tasks: int) -> None:
        self.uncertainty = UW(tasks)

    def _step(
        self,
        losses: Sequence[Tensor],
        *,
        shared: Tensor,
        backward: Callable[[Tensor], None],
        share: float,
    ) -> Tensor:
        weights = torch.exp(-self.uncertainty.log_var.detach()) / 2
        backward(share * self.uncertainty(torch.stack(list(losses))))
        return weights
