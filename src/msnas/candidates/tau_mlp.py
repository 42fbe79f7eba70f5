"""Tau momentum from a jet and its image by a multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from msnas.candidates.candidate import Candidate
from msnas.candidates.mlp import dense
from msnas.candidates.of_jets import JET_NUMBERS, answer, numbers_of


@final
class TauMLP(Candidate):
    """An MLP reduces a jet's image to features; a second MLP corrects the jet (paper, Fig. 9(a)).

    Image: 768-16-16-16-4; features and jet: 8-32-32-3, added to the jet's (log pT, eta, phi). All
    jets of an event use the same weights. With `logit` the output is a logit per jet (tau or not).
    `beside` is the number of further input values per jet, in addition to the jet's own four.
    """

    def __init__(
        self,
        *,
        image_layers: Sequence[int],
        momentum_layers: Sequence[int],
        activation: str,
        image_shape: Sequence[int] = (3, 16, 16),
        reads: Sequence[str] | None = None,
        beside: int = 0,
        logit: bool = False,
    ) -> None:
        super().__init__()
        self.reads = reads
        self.logit = logit
        pixels = image_shape[0] * image_shape[1] * image_shape[2]
        self.image_network = dense([pixels, *image_layers], activation=activation)
        self.momentum_network = dense(
            [image_layers[-1] + JET_NUMBERS + beside, *momentum_layers, 1 if logit else 3],
            activation=activation,
        )

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "event jet ..."]:
        """Momenta or logits from `jet` [event, jet, 4] and `image` [event, jet, 3, 16, 16]."""
        features = self.image_network(inputs["image"].flatten(2))
        found = self.momentum_network(torch.cat((features, numbers_of(inputs)), -1))
        return answer(inputs["jet"], found, logit=self.logit)
