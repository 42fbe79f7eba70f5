"""Tau momentum from a jet and its image by a multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from msnas.candidates.candidate import Candidate
from msnas.candidates.mlp import dense


@final
class TauMLP(Candidate):
    """Paper, Fig. 9(a): the image to a few features, they and the jet to a correction of it.

    Image 768-16-16-16-4; then features and jet 8-32-32-3, added to the jet's (log pT, eta, phi).
    The jets of an event share the weights.
    """

    def __init__(
        self,
        *,
        image_layers: Sequence[int],
        momentum_layers: Sequence[int],
        activation: str,
        image_shape: Sequence[int] = (3, 16, 16),
    ) -> None:
        super().__init__()
        pixels = image_shape[0] * image_shape[1] * image_shape[2]
        self.image_network = dense([pixels, *image_layers], activation=activation)
        self.momentum_network = dense(
            [image_layers[-1] + 4, *momentum_layers, 3], activation=activation
        )

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "event jet 3"]:
        """Encoded momenta from `jet` [event, jet, 4] and `image` [event, jet, 3, 16, 16]."""
        jet, image = inputs["jet"], inputs["image"]
        features = self.image_network(image.flatten(2))
        correction: Tensor = self.momentum_network(torch.cat((features, jet), -1))
        return jet[..., :3] + correction
