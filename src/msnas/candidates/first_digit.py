"""Sees only the first of two digits; for `digit_sum`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from jaxtyping import Float
from torch import Tensor, nn

from msnas.candidates.candidate import Candidate


@final
class FirstDigit(Candidate):
    """Logit linear in the first digit's probabilities: deliberately weak."""

    def __init__(self, *, classes: int = 10) -> None:
        super().__init__()
        self.linear = nn.Linear(classes, 1)

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, " event"]:
        """Logit of every event from one input of shape [event, 2, class]."""
        (digits,) = inputs.values()
        logit: Tensor = self.linear(digits[:, 0]).squeeze(-1)
        return logit
