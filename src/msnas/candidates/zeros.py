"""A dummy that always answers 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

from jaxtyping import Float
from torch import Tensor, nn


@final
class Zeros(nn.Module):
    """Output 0 of the given shape per event (paper, section 4.3): must never be selected."""

    is_dummy = True

    def __init__(self, *, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "event ..."]:
        """Zeros."""
        first = next(iter(inputs.values()))
        return first.new_zeros(len(first), *self.shape)
