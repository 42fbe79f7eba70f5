"""The probability that two digits sum to a threshold or more; for `digit_sum`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from msnas.candidates.candidate import Candidate


@final
class ThresholdSum(Candidate):
    """Logit = log((P + e) / (1 - P + e)), with P the probability of sum >= `threshold`.

    P is exact for independent digits: the sum of p1(i) p2(j) over i + j >= `threshold`.
    e = `floor` keeps the logit of a sure sum finite. Nothing to train: all that could be learnt
    is known.

    Example:
        >>> one_hot = torch.eye(10)
        >>> pairs = torch.stack([one_hot[[4, 5]], one_hot[[5, 5]]])  # 4 + 5 and 5 + 5
        >>> (ThresholdSum(threshold=10, floor=1e-3)({"digits": pairs}) > 0).tolist()
        [False, True]

    """

    reached: Tensor

    def __init__(self, *, threshold: int, floor: float, classes: int = 10) -> None:
        super().__init__()
        digit = torch.arange(classes)
        reached = (digit[:, None] + digit >= threshold).float()
        self.register_buffer("reached", reached, persistent=False)
        self.floor = floor

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, " event"]:
        """Logit of every event from one input of shape [event, 2, class]."""
        (digits,) = inputs.values()
        first, second = digits.unbind(1)
        above = (first @ self.reached * second).sum(1)
        below = (first @ (1 - self.reached) * second).sum(1)
        return torch.log((above + self.floor) / (below + self.floor))
