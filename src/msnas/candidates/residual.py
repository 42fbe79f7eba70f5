"""Blocks of the residual networks (talk, backup slides on model architecture)."""

from __future__ import annotations

from typing import final

from jaxtyping import Float
from torch import Tensor, nn

from msnas.candidates.mlp import activation_of


@final
class ConvBlock(nn.Module):
    """activation(f(x) + s(x)), f = convolution, norm, activation, convolution, norm.

    Convolutions have kernel 3 and no bias; the first has the `stride`. s is the identity, or a
    convolution with kernel 1 where f changes the shape.

    The slide names no norm, but convolutions without bias suggest one. Here it is a group norm of
    one group: the output for an event depends on that event alone, under any condition and in any
    super-network. A batch norm's running mean and variance would depend on the mixture of earlier
    networks. The norm removes the overall scale of an image from f(x); s(x) keeps it.
    """

    def __init__(self, planes_in: int, planes: int, *, stride: int, activation: str) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(planes_in, planes, 3, stride=stride, padding=1, bias=False),
            nn.GroupNorm(1, planes),
            activation_of(activation),
            nn.Conv2d(planes, planes, 3, padding=1, bias=False),
            nn.GroupNorm(1, planes),
        )
        self.skip = (
            nn.Identity()
            if planes_in == planes and stride == 1
            else nn.Conv2d(planes_in, planes, 1, stride=stride, bias=False)
        )
        self.activation = activation_of(activation)

    def forward(
        self, images: Float[Tensor, "event plane_in row column"]
    ) -> Float[Tensor, "event plane row column"]:
        """Feature planes of every event; with stride 2 half as many rows and columns."""
        planes: Tensor = self.activation(self.branch(images) + self.skip(images))
        return planes


@final
class DenseBlock(nn.Sequential):
    """Linear layer, activation, dropout: the slide's block, with FiLM before the activation."""

    def __init__(
        self, size_in: int, size_out: int, *, activation: str, dropout: float, bias: bool = True
    ) -> None:
        super().__init__(
            nn.Linear(size_in, size_out, bias=bias),
            activation_of(activation),
            nn.Dropout(dropout),
        )

    def film_site(self) -> nn.Module:
        """The activation, whose input FiLM scales and shifts."""
        return self[1]


@final
class ResidualBlock(nn.Module):
    """x + g(x), where g is `depth` dense blocks of the same width."""

    def __init__(self, width: int, *, depth: int, activation: str, dropout: float) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *(
                DenseBlock(width, width, activation=activation, dropout=dropout)
                for _ in range(depth)
            )
        )

    def forward(self, values: Float[Tensor, "event value"]) -> Float[Tensor, "event value"]:
        """Values of every event, as many as its input has."""
        added: Tensor = self.branch(values)
        return values + added
