"""Tau momentum from a jet and its image by a convolutional network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from msnas.candidates.mlp import activation_of, dense


@final
class TauCNN(nn.Module):
    """Paper, Fig. 9(b): convolutions to a few image features, they and the jet to a correction.

    Four convolutions (3-32-16-16-8 channels, kernels 3, 3, 2, 2, a max-pooling by 2 after the
    second) leave 8 x 4 x 4 values; 128-16-16-16-4; then features and jet 8-64-64-64-3, added to
    the jet's (log pT, eta, phi). The jets of an event share the weights.
    """

    def __init__(
        self,
        *,
        channels: Sequence[int],
        kernels: Sequence[int],
        image_layers: Sequence[int],
        momentum_layers: Sequence[int],
        activation: str,
        image_shape: Sequence[int] = (3, 16, 16),
    ) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        planes, side = image_shape[0], image_shape[1]
        for index, (width, kernel) in enumerate(zip(channels, kernels, strict=True)):
            modules += [nn.Conv2d(planes, width, kernel), activation_of(activation)]
            planes, side = width, side - kernel + 1
            if index == 1:
                modules.append(nn.MaxPool2d(2))
                side //= 2
        # channels last: a quarter faster on a processor, the same numbers up to rounding
        self.convolutions = nn.Sequential(*modules)
        self.convolutions.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.image_network = dense([planes * side * side, *image_layers], activation=activation)
        self.momentum_network = dense(
            [image_layers[-1] + 4, *momentum_layers, 3], activation=activation
        )

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "event jet 3"]:
        """Encoded momenta from `jet` [event, jet, 4] and `image` [event, jet, 3, 16, 16]."""
        jet, image = inputs["jet"], inputs["image"]
        planes = image.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        features = self.image_network(self.convolutions(planes).flatten(1))
        features = features.view(*jet.shape[:2], -1)
        correction: Tensor = self.momentum_network(torch.cat((features, jet), -1))
        return jet[..., :3] + correction
