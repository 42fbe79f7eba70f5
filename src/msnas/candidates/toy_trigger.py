"""Sees only how far one feature is above a threshold; for `toy_classification`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from msnas.candidates.candidate import Candidate


@final
class ToyTrigger(Candidate):
    """Logit linear in max(0, |z| / threshold - 1), z the joined inputs' `feature`-th.

    Below the threshold the logit is constant and its gradient with respect to z exactly 0: in a
    chain, the task before learns nothing from it.

    Example:
        >>> trigger = ToyTrigger(feature=0, threshold=0.5)
        >>> logit = trigger({"z": torch.tensor([[0.0], [0.4], [-0.4], [1.0], [-1.0]])})
        >>> logit.unique().numel()
        2

    """

    def __init__(self, *, feature: int, threshold: float) -> None:
        super().__init__()
        self.feature = feature
        self.threshold = threshold
        self.linear = nn.Linear(1, 1)

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, " event"]:
        """Logit of every event from inputs of shape [event, feature]."""
        size = torch.cat(tuple(inputs.values()), 1)[:, self.feature].abs()
        above = torch.relu(size / self.threshold - 1)
        logit: Tensor = self.linear(above.unsqueeze(1))
        return logit.squeeze(1)
