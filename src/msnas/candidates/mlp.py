"""Multi-layer perceptron."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from msnas.candidates.candidate import Candidate
from msnas.errors import ConfigError

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "mish": nn.Mish}


def activation_of(name: str) -> nn.Module:
    """A new activation layer; raise ConfigError for an unknown name."""
    if name not in ACTIVATIONS:
        raise ConfigError(f"activation: expected one of {list(ACTIVATIONS)}, found {name!r}")
    return ACTIVATIONS[name]()


def dense(sizes: Sequence[int], *, activation: str = "relu") -> nn.Sequential:
    """Linear layers of the given sizes with activations between them, but not after the last."""
    modules: list[nn.Module] = []
    for size_in, size_out in pairwise(sizes):
        modules += [nn.Linear(size_in, size_out), activation_of(activation)]
    return nn.Sequential(*modules[:-1])


def side_by_side(inputs: Mapping[str, Tensor]) -> Float[Tensor, "event number"]:
    """All numbers of every event; an input may be a single one, [event]."""
    return torch.cat([value.unsqueeze(-1).flatten(1) for value in inputs.values()], 1)


@final
class MLP(Candidate):
    """All inputs, flattened and joined, through hidden `layers` to an output of `output_shape`.

    `input_size` is the number of input values per event. The candidate `mlp` of the paper's second
    task has sizes 6-32-32-32-1 (section 4.3).
    """

    def __init__(
        self,
        *,
        input_size: int,
        layers: Sequence[int],
        output_shape: Sequence[int],
        activation: str = "relu",
    ) -> None:
        super().__init__()
        self.output_shape = tuple(output_shape)
        sizes = [input_size, *layers, math.prod(self.output_shape)]
        self.network = dense(sizes, activation=activation)

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "event ..."]:
        """Output of every event."""
        output: Tensor = self.network(side_by_side(inputs))
        return output.view(-1, *self.output_shape)
