"""Logistic regression that never gets sure; for `toy_classification`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from msnas.candidates.candidate import Candidate


@final
class ToyCautious(Candidate):
    """Logit = limit * tanh(linear / limit) of `input_size` joined input features.

    It orders events like a logistic regression, but the cross entropy of an event is never below
    log(1 + exp(-limit)), however clear the event.

    Example:
        >>> cautious = ToyCautious(input_size=3, limit=1.5)
        >>> bool((cautious({"z": torch.full((2, 3), 1e4)}).abs() <= 1.5).all())
        True

    """

    def __init__(self, *, input_size: int, limit: float) -> None:
        super().__init__()
        self.linear = nn.Linear(input_size, 1)
        self.limit = limit

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, " event"]:
        """Logit of every event from inputs of shape [event, feature]."""
        linear: Tensor = self.linear(torch.cat(tuple(inputs.values()), 1)).squeeze(1)
        return self.limit * torch.tanh(linear / self.limit)
