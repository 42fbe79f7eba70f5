"""Tau momentum from a jet and its image by a convolutional network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from msnas.candidates.candidate import Candidate
from msnas.candidates.convolutions import Convolutions
from msnas.candidates.mlp import dense
from msnas.candidates.of_jets import JET_NUMBERS, answer, numbers_of


@final
class TauCNN(Candidate):
    """Convolutions reduce a jet's image to features; an MLP then corrects the jet (Fig. 9(b)).

    Paper: four convolutions (3-32-16-16-8 channels, kernels 3, 3, 2, 2, a max-pooling by 2 after
    the second) leave 8 x 4 x 4 values; dense layers 128-16-16-16-4 give 4 features; features and
    jet enter dense layers 8-64-64-64-3, whose output is added to the jet's (log pT, eta, phi). All
    jets of an event use the same weights. With `logit` the output is a logit per jet (tau or not).
    `beside` is the number of further input values per jet, in addition to the jet's own four;
    `sparse` skips pixels that are zero (see `Convolutions`).
    """

    def __init__(
        self,
        *,
        channels: Sequence[int],
        kernels: Sequence[int],
        image_layers: Sequence[int],
        momentum_layers: Sequence[int],
        activation: str,
        sparse: bool = False,
        image_shape: Sequence[int] = (3, 16, 16),
        reads: Sequence[str] | None = None,
        beside: int = 0,
        logit: bool = False,
    ) -> None:
        super().__init__()
        self.reads = reads
        self.logit = logit
        self.convolutions = Convolutions(
            channels=channels,
            kernels=kernels,
            image_shape=image_shape,
            activation=activation,
            sparse=sparse,
        )
        self.image_network = dense([self.convolutions.values, *image_layers], activation=activation)
        self.momentum_network = dense(
            [image_layers[-1] + JET_NUMBERS + beside, *momentum_layers, 1 if logit else 3],
            activation=activation,
        )

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "event jet ..."]:
        """Momenta or logits from `jet` [event, jet, 4] and `image` [event, jet, 3, 16, 16]."""
        features = self.image_network(self.convolutions(inputs["image"]))
        found = self.momentum_network(torch.cat((features, numbers_of(inputs)), -1))
        return answer(inputs["jet"], found, logit=self.logit)
