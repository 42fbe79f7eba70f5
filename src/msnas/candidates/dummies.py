"""Dummies: candidates that learn nothing, to test that no search selects them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from msnas.candidates.candidate import Candidate


@final
class Zeros(Candidate):
    """Outputs zeros of the given shape per event (paper, section 4.3): must never be selected."""

    is_dummy: ClassVar[bool] = True

    def __init__(self, *, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "event ..."]:
        """Zeros for every event."""
        first = next(iter(inputs.values()))
        return first.new_zeros(len(first), *self.shape)


@final
class Noise(Candidate):
    """Outputs N(0, 1) noise of the given shape (paper, section 4.3): must never be selected.

    It draws from PyTorch's default generator, which a stage seeds anew for each of its epochs.
    """

    is_dummy: ClassVar[bool] = True

    def __init__(self, *, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "event ..."]:
        """Gaussian noise for every event."""
        first = next(iter(inputs.values()))
        return torch.randn(len(first), *self.shape, dtype=first.dtype, device=first.device)
