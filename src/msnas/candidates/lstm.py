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
    """`depth` stacked LSTM layers over the particles in order; a logit from the last state.

    Paper, section 4.3: 3 layers of size 32, the tau of the harder jet first. The inputs have shape
    [event, particle, ...] and together `input_size` numbers per particle. With an `output_shape`
    the output is logits of that shape.
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
