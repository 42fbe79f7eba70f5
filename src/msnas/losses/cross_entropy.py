"""Cross entropies."""

from __future__ import annotations

from typing import final

from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional

from msnas.losses.logits import check_classes, cross_entropy, sum_of_event
from msnas.losses.loss import Loss


@final
class BinaryCrossEntropy(Loss):
    """max(y, 0) - y t + log(1 + exp(-|y|)) of a logit y and a truth t (paper, L2)."""

    def fit(self, target: Tensor) -> None:
        """Raise DataError unless the targets are classes."""
        check_classes(target)

    def forward(
        self, output: Float[Tensor, " event"], target: Integer[Tensor, " event"]
    ) -> Float[Tensor, " event"]:
        """Loss of every event from its logit and its class, 0 or 1."""
        return functional.binary_cross_entropy_with_logits(
            output, target.to(output.dtype), reduction="none"
        )


@final
class CrossEntropy(Loss):
    """-log softmax(y)_t of logits y and a class t, summed over the objects of an event.

    A single logit per object is the logit of class 1 against class 0.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[0.0, 0.0], [0.0, 0.0]]])  # an event of two coins
        >>> CrossEntropy()(logits, torch.tensor([[0, 1]])) / torch.log(torch.tensor(2.0))
        tensor([2.])

    """

    def fit(self, target: Tensor) -> None:
        """Raise DataError unless the targets are classes."""
        check_classes(target)

    def forward(
        self, output: Float[Tensor, "event ..."], target: Integer[Tensor, "event ..."]
    ) -> Float[Tensor, " event"]:
        """Loss of every event from its logits and its classes, which count from 0."""
        return sum_of_event(cross_entropy(output, target))
