"""Recurrent classifier of a sequence of particles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from msnas.candidates.candidate import Candidate


@final
class LSTM(Candidate):
    """`depth` stacked LSTM layers over the particles in their order; one logit from the last.

    Paper, section 4.3: 3 layers of 32, the tau of the harder jet first. Takes inputs of shape
    [event, particle, ...] with `input_size` numbers of a particle together. With an `output_shape`
    it has so many logits.
    """

    def __init__(
        self, *, input_size: int, hidden: int, depth: int, output_shape: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.output_shape = tuple(output_shape)
        self.recurrent = nn.LSTM(input_size, hidden, num_layers=depth, batch_first=True)
        self.head = nn.Linear(hidden, math.prod(self.output_shape))

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "event ..."]:
        """Logit, or logits, of every event."""
        states, _ = self.recurrent(torch.cat(list(inputs.values()), -1))
        logit: Tensor = self.head(states[:, -1])
        return logit.view(-1, *self.output_shape)
