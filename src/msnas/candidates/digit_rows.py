"""Digits from the ink in each row of an image; for `digit_recognition`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from jaxtyping import Float
from torch import Tensor, nn

from msnas.candidates.candidate import Candidate
from msnas.candidates.digit_cnn import CLASSES


@final
class DigitRows(Candidate):
    """Logits linear in the 8 row sums of an image: deliberately weak, left and right are lost.

    The images of an event share the weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, CLASSES)

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "event image 10"]:
        """Logits of every digit from one input of shape [event, image, 8, 8]."""
        (images,) = inputs.values()
        logits: Tensor = self.linear(images.sum(-1))
        return logits
