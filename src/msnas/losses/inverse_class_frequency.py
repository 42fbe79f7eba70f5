"""Cross entropy weighted by the inverse of class frequencies."""

from __future__ import annotations

from typing import final

from jaxtyping import Float
from torch import Tensor

from msnas.losses.class_weights import ClassWeightedLoss


@final
class InverseClassFrequency(ClassWeightedLoss):
    """(1 / n_t) (-log p_t), n_t the number of events of the true class t in the training part.

    The events of every class together have the same weight, however rare the class is.

    Example:
        >>> import torch
        >>> loss = InverseClassFrequency(normalisation="sum_to_classes")
        >>> loss.fit(torch.tensor([0, 0, 0, 1]))
        >>> loss.weights()
        tensor([0.5000, 1.5000], dtype=torch.float64)

    """

    def __init__(self, *, normalisation: str) -> None:
        super().__init__(normalisation=normalisation)

    def relative_weights(self, counts: Float[Tensor, " class"]) -> Float[Tensor, " class"]:
        """1 / n."""
        return 1 / counts
