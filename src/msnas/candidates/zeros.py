"""A dummy that always answers 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, final

from jaxtyping import Float
from torch import Tensor

from msnas.candidates.candidate import Candidate


@final
class Zeros(Candidate):
    """Output 0 of the given shape per event (paper, section 4.3): must never be selected."""

    is_dummy: ClassVar[bool] = True

    def __init__(self, *, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "event ..."]:
        """Zeros."""
        first = next(iter(inputs.values()))
        return first.new_zeros(len(first), *self.shape)
