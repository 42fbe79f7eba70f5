"""Digits from small images by a convolutional network; for `digit_recognition`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

from jaxtyping import Float
from torch import Tensor, nn

from msnas.candidates.candidate import Candidate
from msnas.candidates.mlp import dense

CLASSES = 10


@final
class DigitCNN(Candidate):
    """Two convolutions with kernel 3, a max-pooling by 2 after the second, hidden `layers`.

    The images of an event share the weights. With `channels` (c, d) an 8 x 8 image becomes
    c x 8 x 8, d x 6 x 6, d x 3 x 3, then 9 d - `layers` - 10 logits.
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
