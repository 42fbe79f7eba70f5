"""Residual multi-layer perceptron."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import final

from jaxtyping import Float
from torch import Tensor, nn

from msnas.candidates.candidate import Candidate
from msnas.candidates.mlp import side_by_side
from msnas.candidates.residual import DenseBlock, ResidualBlock


@final
class ResidualMLP(Candidate):
    """`blocks` residual blocks, a dense block for FiLM, a linear layer (talk, backup slide).

    The first dense block maps all inputs, flattened and joined (`input_size` values per event), to
    `width` values; the slide does not say how. A residual block is `depth` dense blocks and a skip
    connection. With `output_shape: null` there is no last linear layer: the `width` features are
    the output. Published: 3 blocks of depth 3, width 256, GELU, dropout 0.1.
    """

    def __init__(
        self,
        *,
        input_size: int,
        width: int,
        blocks: int,
        depth: int,
        dropout: float,
        activation: str,
        output_shape: Sequence[int] | None,
    ) -> None:
        super().__init__()
        self.output_shape = None if output_shape is None else tuple(output_shape)
        self.first = DenseBlock(input_size, width, activation=activation, dropout=dropout)
        self.residual_blocks = nn.Sequential(
            *(
                ResidualBlock(width, depth=depth, activation=activation, dropout=dropout)
                for _ in range(blocks)
            )
        )
        self.dense_block = DenseBlock(width, width, activation=activation, dropout=dropout)
        self.last = (
            nn.Identity()
            if self.output_shape is None
            else nn.Linear(width, math.prod(self.output_shape))
        )

    def film_sites(self) -> list[nn.Module]:
        """The activation of the dense block after the residual blocks."""
        return [self.dense_block.film_site()]

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "event ..."]:
        """Output of every event from its inputs."""
        first = self.first(side_by_side(inputs))
        output: Tensor = self.last(self.dense_block(self.residual_blocks(first)))
        return output if self.output_shape is None else output.view(-1, *self.output_shape)
