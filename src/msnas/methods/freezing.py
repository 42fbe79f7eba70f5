"""Freezes candidates once training no longer helps on validation events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

STEPS = 20
"""Number of training steps of a candidate over which the mean cosine is taken."""


@final
class Freezing(nn.Module):
    """Operation-level early stopping (OLES: Jiang et al., NeurIPS 2023).

    A candidate overfits when its gradients on training and on validation events point in different
    directions. After every `STEPS` steps in which a candidate was trained, the mean of
    cos(grad_train, grad_valid) is compared with `threshold`; if it is below, the candidate is
    frozen until the end of the training. `candidates` holds the parameters of each candidate.
    """

    sums: Tensor
    counts: Tensor
    frozen: Tensor

    def __init__(self, candidates: Sequence[Sequence[nn.Parameter]], *, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold
        self._candidates = [[one for one in own if one.requires_grad] for own in candidates]
        self.register_buffer("sums", torch.zeros(len(candidates), dtype=torch.float64))
        self.register_buffer("counts", torch.zeros(len(candidates), dtype=torch.int64))
        self.register_buffer("frozen", torch.zeros(len(candidates), dtype=torch.bool))

    def judge(self, valid: Tensor) -> None:
        """Compare the present gradients, of a training batch, with those of the loss `valid`.

        Frozen candidates lose their gradients, so that the optimiser does not change them.
        """
        moving = [
            (index, own)
            for index, own in enumerate(self._candidates)
            if not self.frozen[index] and any(one.grad is not None for one in own)
        ]
        parameters = [one for _, own in moving for one in own]
        if parameters:
            slopes = iter(torch.autograd.grad(valid, parameters, allow_unused=True))
            for index, own in moving:
                self._count(index, _cosine(own, [next(slopes) for _ in own]))
        for index, own in enumerate(self._candidates):
            if self.frozen[index]:
                for one in own:
                    one.grad = None

    def _count(self, index: int, cosine: Tensor | None) -> None:
        if cosine is None:
            return
        self.sums[index] += cosine
        self.counts[index] += 1
        if self.counts[index] == STEPS:
            self.frozen[index] = self.sums[index] / STEPS < self.threshold
            self.sums[index], self.counts[index] = 0.0, 0


def _cosine(own: Sequence[nn.Parameter], slopes: Sequence[Tensor | None]) -> Tensor | None:
    """Cosine between two gradients of a candidate; None if one of the gradients is 0 or missing."""
    pairs = [
        (one.grad.flatten().double(), slope.flatten().double())
        for one, slope in zip(own, slopes, strict=True)
        if one.grad is not None and slope is not None
    ]
    if not pairs:
        return None
    train, valid = (torch.cat(side) for side in zip(*pairs, strict=True))
    lengths = train.norm() * valid.norm()
    return train @ valid / lengths if lengths > 0 else None
