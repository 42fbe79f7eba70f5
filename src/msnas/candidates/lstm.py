"""Recurrent classifier of a sequence of particles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from jaxtyping import Float
from torch import Tensor, nn

from msnas.candidates.candidate import Candidate


@final
class LSTM(Candidate):
    """`depth` stacked LSTM layers over the particles in their order; one logit from the last.

    Paper, section 4.3: 3 layers of 32, the tau of the harder jet first. Takes one input of shape
    [event, particle, input_size].
    """

    def __init__(self, *, input_size: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(input_size, hidden, num_layers=depth, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, " event"]:
        """Logit of every event."""
        (sequence,) = inputs.values()
        states, _ = self.recurrent(sequence)
        logit: Tensor = self.head(states[:, -1])
        return logit.squeeze(-1)
