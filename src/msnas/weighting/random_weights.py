"""Random task weights, drawn anew for every step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor

from msnas.weighting.weighting import Weighting


@final
class RandomWeights(Weighting):
    """Descends sum_t w_t L_t, w = softmax of standard normal numbers.

    Random loss weighting, Lin et al., arXiv:2111.10603, Algorithm 1: the floor for anything that
    claims to choose weights well. Drawn from PyTorch's generator, which every epoch of a stage
    seeds from the stage's seed: a resumed training draws the same.
    """

    def _step(
        self,
        losses: Sequence[Tensor],
        *,
        shared: Tensor,
        backward: Callable[[Tensor], None],
        share: float,
    ) -> Tensor:
        stacked = torch.stack(list(losses))
        weights = torch.randn(len(losses)).softmax(0).to(stacked)
        loss = share * (weights * stacked).sum()
        if loss.requires_grad:
            backward(loss)
        return weights
