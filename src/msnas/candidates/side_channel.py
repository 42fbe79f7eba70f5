"""Classifier of a pair of taus that looks past them, at the jets and images they were made from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from msnas.candidates.candidate import Candidate
from msnas.candidates.invariants import TYPICAL_LOG_PT, pair_features
from msnas.candidates.mlp import dense

CORE = 4
"""Pixels along each side of an image's middle that make up its core."""

TYPICAL_COUNT = 4.0
"""Filled pixels of a channel, the unit of their numbers and sums."""


def image_numbers(
    image: Float[Tensor, "event jet channel row column"],
) -> Float[Tensor, "event jet number"]:
    """Sum, count, maximum and core sum of the pixels of every channel, about 1 in size."""
    rows, columns = (slice((size - CORE) // 2, (size + CORE) // 2) for size in image.shape[-2:])
    pixels = image.flatten(3)
    numbers = torch.stack(
        (
            pixels.sum(-1) / TYPICAL_COUNT,
            (pixels > 0).sum(-1) / TYPICAL_COUNT,
            pixels.amax(-1),
            image[..., rows, columns].sum((-2, -1)) / TYPICAL_COUNT,
        ),
        -1,
    )
    return numbers.flatten(2)


@final
class SideChannel(Candidate):
    """`pair_features` of two taus, beside jets and `image_numbers`, through `layers` to a logit.

    What it gains over `Invariants`, which sees the taus alone, is what a chain loses by handing on
    nothing but momenta. It `reads` taus, jets [event, jet, 4] and images, in this order, and then
    `beside` more numbers. With an `output_shape` it has so many logits.
    """

    def __init__(
        self,
        *,
        reads: Sequence[str],
        layers: Sequence[int],
        image_channels: int = 3,
        output_shape: Sequence[int] = (),
        beside: int = 0,
    ) -> None:
        super().__init__()
        self.reads = tuple(reads)
        self.output_shape = tuple(output_shape)
        size = 8 + 2 * (4 + 4 * image_channels) + beside
        self.network = dense([size, *layers, math.prod(self.output_shape)])

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "event ..."]:
        """Logit, or logits, of every event."""
        taus, jet, image, *others = inputs.values()
        centred = jet - jet.new_tensor([TYPICAL_LOG_PT, 0.0, 0.0, 0.0])
        beside = torch.cat((centred, image_numbers(image)), -1)
        features = [pair_features(taus), *(one.flatten(1) for one in (beside, *others))]
        logit: Tensor = self.network(torch.cat(features, 1))
        return logit.view(-1, *self.output_shape)
