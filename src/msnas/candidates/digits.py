"""Candidates of the problem `digit_sum`: the sum of two digits on two images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from msnas.candidates.candidate import Candidate
from msnas.candidates.mlp import dense

CLASSES = 10


@final
class DigitCNN(Candidate):
    """Two convolutions with kernel 3, a max-pooling by 2 after the second, then hidden `layers`.

    All images of an event use the same weights. With `channels` (c, d) an 8 x 8 image becomes
    c x 8 x 8, d x 6 x 6, d x 3 x 3, and then goes through layers of sizes 9 d, `layers`, 10 logits.
    """

    def __init__(self, *, channels: Sequence[int], layers: Sequence[int]) -> None:
        super().__init__()
        first, second = channels
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, first, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(first, second, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.network = dense([second * 3 * 3, *layers, CLASSES])

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "event image 10"]:
        """Logits of every digit from one input of shape [event, image, 8, 8]."""
        (images,) = inputs.values()
        features = self.convolutions(images.flatten(0, 1).unsqueeze(1)).flatten(1)
        logits: Tensor = self.network(features)
        return logits.view(*images.shape[:2], CLASSES)


@final
class DigitRows(Candidate):
    """Logits linear in the 8 row sums of an image: deliberately weak, columns are summed over.

    All images of an event use the same weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, CLASSES)

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "event image 10"]:
        """Logits of every digit from one input of shape [event, image, 8, 8]."""
        (images,) = inputs.values()
        logits: Tensor = self.linear(images.sum(-1))
        return logits


@final
class FirstDigit(Candidate):
    """Logit linear in the first digit's probabilities: deliberately weak, it ignores the second."""

    def __init__(self, *, classes: int = 10) -> None:
        super().__init__()
        self.linear = nn.Linear(classes, 1)

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, " event"]:
        """Logit of every event from one input of shape [event, 2, class]."""
        (digits,) = inputs.values()
        logit: Tensor = self.linear(digits[:, 0]).squeeze(-1)
        return logit


@final
class ThresholdSum(Candidate):
    """Logit = log((P + e) / (1 - P + e)), with P the probability of sum >= `threshold`.

    P is exact for independent digits: the sum of p1(i) p2(j) over i + j >= `threshold`.
    e = `floor` keeps the logit finite if the sum is certain. It has no trainable parameters,
    because the rule is known.

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
