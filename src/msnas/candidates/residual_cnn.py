"""Residual convolutional network for images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import final

from jaxtyping import Float
from torch import Tensor, nn

from msnas.candidates.candidate import Candidate
from msnas.candidates.residual import ConvBlock, DenseBlock


@final
class ResidualCNN(Candidate):
    """`blocks` residual convolution blocks, mean over the pixels, MLP (talk, backup slide).

    The first block has the `stride`. After a global average pooling come two dense blocks that FiLM
    can modulate, a linear layer without bias and an activation: they give `width` features. A last
    linear layer maps the features to `output_shape`; with `output_shape: null` the features are
    the output, which several tasks can share. Published: 5 blocks of 256 planes, stride 1, width
    256, GELU, dropout 0.1. (The slide has no dropout after the last activation.)
    """

    def __init__(
        self,
        *,
        planes: int,
        blocks: int,
        stride: int,
        width: int,
        dropout: float,
        activation: str,
        output_shape: Sequence[int] | None,
        channels: int = 3,
        reads: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.reads = reads
        self.output_shape = None if output_shape is None else tuple(output_shape)
        self.convolutions = nn.Sequential(
            *(
                ConvBlock(
                    planes if block else channels,
                    planes,
                    stride=1 if block else stride,
                    activation=activation,
                )
                for block in range(blocks)
            )
        )
        self.dense_blocks = nn.ModuleList(
            DenseBlock(size, width, activation=activation, dropout=dropout)
            for size in (planes, width)
        )
        self.features = DenseBlock(width, width, activation=activation, dropout=0.0, bias=False)
        self.last = (
            nn.Identity()
            if self.output_shape is None
            else nn.Linear(width, math.prod(self.output_shape))
        )

    def film_sites(self) -> list[nn.Module]:
        """The activations of the two dense blocks after the pooling."""
        return [block.film_site() for block in self.dense_blocks if isinstance(block, DenseBlock)]

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "event ..."]:
        """Output of every event from one input of shape [event, channel, row, column].

        If events have several images, [event, jet, channel, row, column], each image has an output.
        """
        (image,) = inputs.values()
        values: Tensor = self.convolutions(image.flatten(0, -4)).mean((2, 3))
        for block in self.dense_blocks:
            values = block(values)
        output: Tensor = self.last(self.features(values))
        shape = output.shape[1:] if self.output_shape is None else self.output_shape
        return output.view(*image.shape[:-3], *shape)
