"""Focal loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, final

from jaxtyping import Float, Integer
from torch import Tensor

from msnas.errors import ConfigError
from msnas.losses.logits import (
    check_classes,
    cross_entropy,
    is_single,
    log_of_other_classes,
    sum_of_event,
)
from msnas.losses.loss import Loss
from msnas.losses.parameter import Parameter, beside, check_parameter


@final
class Focal(Loss):
    """-alpha_t (1 - p_t)^gamma log p_t: objects that are classified well count less.

    Lin et al., arXiv:1708.02002, but averaged over all events, not over those of class 1.
    `gamma` = 0 is cross entropy. `alpha` is null (no weights), a number for the weight of class 1
    (class 0 has 1 - alpha), or a list of one weight per class. The power is taken as
    exp(gamma log(1 - p_t)): its gradient is finite for 0 < gamma < 1 too, where the gradient
    of pow(1 - p_t, gamma) is not when p_t rounds to 1.

    Example:
        >>> import torch
        >>> loss = Focal(gamma=2.0, alpha=None)
        >>> p = torch.tensor([0.9])
        >>> loss(p.logit(), torch.tensor([1])) / -p.log()  # (1 - 0.9)^2
        tensor([0.0100])

    """

    varying: ClassVar[tuple[str, ...]] = ("gamma",)

    def __init__(self, *, gamma: float, alpha: float | Sequence[float] | None) -> None:
        super().__init__()
        self.gamma: Parameter = gamma
        if isinstance(alpha, Sequence) and not isinstance(alpha, str):
            for weight in alpha:
                check_parameter(weight, key="loss.alpha")
            self.alpha = tuple(float(weight) for weight in alpha)
        elif alpha is None:
            self.alpha = ()
        else:
            check_parameter(alpha, key="loss.alpha", high=1.0)
            self.alpha = (1 - alpha, alpha)
        self.check()

    def check(self) -> None:
        """Raise ConfigError if gamma is negative."""
        check_parameter(self.gamma, key="loss.gamma")

    def fit(self, target: Tensor) -> None:
        """Raise DataError unless the targets are classes."""
        check_classes(target)

    def forward(
        self, output: Float[Tensor, "event ..."], target: Integer[Tensor, "event ..."]
    ) -> Float[Tensor, " event"]:
        """Loss of every event, from one logit or a logit per class for each of its objects."""
        others = log_of_other_classes(output, target)
        each = (beside(self.gamma, others) * others).exp() * cross_entropy(output, target)
        if self.alpha:
            classes = 2 if is_single(output, target) else output.shape[-1]
            if len(self.alpha) != classes:
                raise ConfigError(
                    f"loss.alpha: expected a weight for each of {classes} classes, "
                    f"found {len(self.alpha)}"
                )
            each = each * output.new_tensor(self.alpha)[target]
        return sum_of_event(each)
