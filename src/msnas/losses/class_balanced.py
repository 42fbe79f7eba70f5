"""Cross entropy weighted by effective numbers of samples."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from msnas.losses.class_weights import ClassWeightedLoss
from msnas.losses.parameter import Parameter, check_parameter


@final
class ClassBalanced(ClassWeightedLoss):
    """(1 / E_t) (-log p_t) with the effective number E_c = (1 - beta^n_c) / (1 - beta).

    Cui et al., arXiv:1901.05555; n_c is the number of events of class c in the training part.
    `one_minus_beta` = 1 is cross entropy, 0 is inverse class frequency; the weights hardly change
    until 1 - beta comes near 1 / n, so scan it on a logarithmic scale.

    Example:
        >>> loss = ClassBalanced(one_minus_beta=1e-4, normalisation="sum_to_classes")
        >>> loss.fit(torch.tensor([0] * 45_000 + [1] * 5_000))
        >>> weights = loss.weights()
        >>> round(float(weights[1] / weights[0]), 2)
        2.51

    """

    varying: ClassVar[tuple[str, ...]] = ("one_minus_beta",)

    def __init__(self, *, one_minus_beta: float, normalisation: str) -> None:
        super().__init__(normalisation=normalisation)
        self.one_minus_beta: Parameter = one_minus_beta
        self.check()

    def check(self) -> None:
        """Raise ConfigError unless 1 - beta lies between 0 and 1."""
        check_parameter(self.one_minus_beta, key="loss.one_minus_beta", high=1.0)

    def relative_weights(
        self, counts: Float[Tensor, " class"]
    ) -> Float[Tensor, " class"] | Float[Tensor, "event class"]:
        """1 / E; for each event by itself if every event has its own beta."""
        # a float made a tensor without a type would be rounded to single precision
        one_minus_beta = torch.as_tensor(
            self.one_minus_beta, dtype=counts.dtype, device=counts.device
        ).unsqueeze(-1)
        return 1 / effective_number(counts, one_minus_beta)


def effective_number(
    counts: Float[Tensor, "*#shape"], one_minus_beta: Float[Tensor, "*#shape"]
) -> Float[Tensor, "*shape"]:
    """(1 - beta^n) / (1 - beta), n for beta = 1; exact for the smallest 1 - beta as well."""
    safe = torch.where(one_minus_beta > 0, one_minus_beta, 1.0)
    numbers = -torch.expm1(counts * torch.log1p(-safe)) / safe
    return torch.where(one_minus_beta > 0, numbers, counts)
