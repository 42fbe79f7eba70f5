"""Convolutions that turn the image of a jet into numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from msnas.candidates.mlp import activation_of
from msnas.candidates.sparse_convolutions import pays, sparse_convolutions
from msnas.errors import ConfigError


@final
class Convolutions(nn.Sequential):
    """Convolutions with an activation each, and a max-pooling by 2 after the second.

    All images of an event use the same weights. `values` is the number of output values of an
    image. With `sparse` the first two, if they are there and their activation is `relu`, skip
    pixels that are zero where that is faster (`pays`); results are equal but for rounding.
    """

    def __init__(
        self,
        *,
        channels: Sequence[int],
        kernels: Sequence[int],
        image_shape: Sequence[int],
        activation: str,
        sparse: bool = False,
    ) -> None:
        if len(channels) != len(kernels) or min([*channels, *kernels], default=0) < 1:
            raise ConfigError(
                "channels, kernels: expected as many of both, each >= 1, found "
                f"{list(channels)} and {list(kernels)}"
            )
        modules: list[nn.Module] = []
        planes, side = image_shape[0], image_shape[1]
        for index, (width, kernel) in enumerate(zip(channels, kernels, strict=True)):
            modules += [nn.Conv2d(planes, width, kernel), activation_of(activation)]
            planes, side = width, side - kernel + 1
            if index == 1:
                modules.append(nn.MaxPool2d(2))
                side //= 2
        if side < 1:
            raise ConfigError(
                f"kernels: {list(kernels)} leave nothing of images of {image_shape[1]} rows"
            )
        super().__init__(*modules)
        self.sparse = sparse and activation == "relu" and len(channels) > 1
        self.values = planes * side * side
        # a quarter faster on a CPU, equal numbers up to rounding
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self, image: Float[Tensor, "event jet channel row column"]
    ) -> Float[Tensor, "event jet value"]:
        """Output values for every jet's image."""
        planes = image.flatten(0, 1)
        values: Tensor
        if self.sparse and pays(planes):
            first, _, second, _, _, *others = self
            values, _ = sparse_convolutions(
                planes, first.weight, first.bias, second.weight, second.bias
            )
            values = values.permute(0, 3, 1, 2)
        else:
            values = planes.contiguous(memory_format=torch.channels_last)
            others = list(self)
        for module in others:
            values = module(values)
        return values.flatten(1).view(*image.shape[:2], -1)
