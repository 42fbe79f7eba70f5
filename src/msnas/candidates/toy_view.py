"""A network that sees its inputs only along given directions; for `toy_regression`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from msnas.candidates.candidate import Candidate
from msnas.candidates.mlp import dense


@final
class ToyView(Candidate):
    """Fixed linear combinations of the inputs through hidden `layers` (ReLU) to `output_size`.

    `directions` [direction, feature] holds the weights of the joined input features in each
    combination. What lies outside them cannot be learned, however long the training.

    Example:
        >>> line = ToyView(directions=[[1.0, 1.0]], layers=[], output_size=3)
        >>> output = line({"x": torch.tensor([[1.0, 2.0], [3.0, 0.0]])})
        >>> output.shape, bool((output[0] == output[1]).all())
        (torch.Size([2, 3]), True)

    """

    directions: Tensor

    def __init__(
        self, *, directions: Sequence[Sequence[float]], layers: Sequence[int], output_size: int
    ) -> None:
        super().__init__()
        weights = torch.tensor([list(direction) for direction in directions], dtype=torch.float32)
        self.register_buffer("directions", weights, persistent=False)
        self.network = dense([len(directions), *layers, output_size])

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "event output_size"]:
        """Output of every event from inputs of shape [event, feature]."""
        joined = torch.cat(tuple(inputs.values()), 1)
        output: Tensor = self.network(joined @ self.directions.T)
        return output
