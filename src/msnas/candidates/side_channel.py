"""Classifier of a pair of taus that also reads the jets and images they were measured from."""

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
"""Side length [pixels] of the core, a square in the middle of an image."""

TYPICAL_COUNT = 4.0
"""Typical number of filled pixels of a channel; counts and sums are divided by it."""


def image_numbers(
    image: Float[Tensor, "event jet channel row column"],
) -> Float[Tensor, "event jet number"]:
    """Sum, count, maximum and core sum of the pixels of every channel, scaled to order 1."""
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
    """A logit from `pair_features` of two taus, jets and `image_numbers`, through hidden `layers`.

    Its gain over `Invariants`, which reads the taus alone, shows what a chain loses by passing on
    only momenta. It `reads` taus, jets [event, jet, 4] and images, in this order, and then further
    inputs of `beside` numbers. With an `output_shape` the output is logits of that shape.
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
