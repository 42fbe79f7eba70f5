"""Candidates of the synthetic problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from msnas.candidates.candidate import Candidate
from msnas.candidates.mlp import dense


@final
class ToyView(Candidate):
    """Fixed linear combinations of the inputs through hidden `layers` (ReLU) to `output_size`.

    `directions` [direction, feature] holds the weights of the joined input features in each
    combination. The candidate cannot learn anything outside these directions.

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


@final
class ToyTrigger(Candidate):
    """Logit linear in max(0, |z| / threshold - 1), where z is feature number `feature`, from 0.

    Below the threshold the logit is constant and its gradient with respect to z is exactly 0: in a
    chain, the earlier task learns nothing from such events.

    Example:
        >>> trigger = ToyTrigger(feature=0, threshold=0.5)
        >>> logit = trigger({"z": torch.tensor([[0.0], [0.4], [-0.4], [1.0], [-1.0]])})
        >>> logit.unique().numel()
        2

    """

    def __init__(self, *, feature: int, threshold: float) -> None:
        super().__init__()
        self.feature = feature
        self.threshold = threshold
        self.linear = nn.Linear(1, 1)

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, " event"]:
        """Logit of every event from inputs of shape [event, feature]."""
        size = torch.cat(tuple(inputs.values()), 1)[:, self.feature].abs()
        above = torch.relu(size / self.threshold - 1)
        logit: Tensor = self.linear(above.unsqueeze(1))
        return logit.squeeze(1)


@final
class ToyCautious(Candidate):
    """Logit = limit * tanh(linear / limit) of `input_size` joined input features.

    It orders events like a logistic regression, but the cross entropy of an event is never below
    log(1 + exp(-limit)), even for an unambiguous event.

    Example:
        >>> cautious = ToyCautious(input_size=3, limit=1.5)
        >>> bool((cautious({"z": torch.full((2, 3), 1e4)}).abs() <= 1.5).all())
        True

    """

    def __init__(self, *, input_size: int, limit: float) -> None:
        super().__init__()
        self.linear = nn.Linear(input_size, 1)
        self.limit = limit

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, " event"]:
        """Logit of every event from inputs of shape [event, feature]."""
        linear: Tensor = self.linear(torch.cat(tuple(inputs.values()), 1)).squeeze(1)
        return self.limit * torch.tanh(linear / self.limit)
