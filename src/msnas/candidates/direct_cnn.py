"""A single network that classifies the boson from the jets of two taus and their images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from msnas.candidates.candidate import Candidate
from msnas.candidates.convolutions import Convolutions
from msnas.candidates.mlp import dense


@final
class DirectCNN(Candidate):
    """One logit from the image features of `TauCNN` joined with the four-vectors of both jets.

    It is the single network with which a chain is compared: it has no intermediate momenta. With
    the default layers it has 40,405 parameters; the chain of `cnn` and `lstm` has 40,512. `sparse`
    skips pixels that are zero (see `Convolutions`).
    """

    def __init__(
        self,
        *,
        channels: Sequence[int],
        kernels: Sequence[int],
        image_layers: Sequence[int],
        layers: Sequence[int],
        activation: str,
        sparse: bool = False,
        image_shape: Sequence[int] = (3, 16, 16),
        jets: int = 2,
    ) -> None:
        super().__init__()
        self.convolutions = Convolutions(
            channels=channels,
            kernels=kernels,
            image_shape=image_shape,
            activation=activation,
            sparse=sparse,
        )
        self.image_network = dense([self.convolutions.values, *image_layers], activation=activation)
        self.head = dense([jets * (image_layers[-1] + 4), *layers, 1], activation=activation)

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, " event"]:
        """Logit of every event from `jet` [event, jet, 4] and `image` [event, jet, 3, 16, 16]."""
        jet, image = inputs["jet"], inputs["image"]
        features = self.image_network(self.convolutions(image))
        logit: Tensor = self.head(torch.cat((features, jet), -1).flatten(1))
        return logit.squeeze(-1)
