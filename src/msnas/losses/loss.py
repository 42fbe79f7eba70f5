"""The base class of losses."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

from jaxtyping import Float
from torch import Tensor, nn

from msnas.errors import ConfigError
from msnas.part import Part


class Loss(Part, nn.Module, ABC):
    """One value per event; the mean over events, event weights and task weights come later.

    Before a loss is used it is prepared for the shape of the outputs and fitted to the truths of
    the training part. Most losses need neither.
    """

    varying: ClassVar[tuple[str, ...]] = ()
    """Scalar parameters that may have a value of their own for every event (`at`)."""

    fake_weight: float = 0.0
    """Weight of the objects of an event that do not count (see `Task.counts`)."""

    def prepare(self, shape: Sequence[int]) -> None:
        """Take the shape of an event's output (`Output.numbers`); a second call changes nothing."""

    def fit(self, target: Tensor) -> None:
        """Learn what the loss needs, such as class counts, from the truths of the training part.

        Called once, before training; these values do not belong to the trained weights.
        """

    def at(self, parameters: Mapping[str, Float[Tensor, " event"]]) -> Self:
        """A copy of this loss in which parameters of `varying` have a value for every event.

        The copy shares everything else, trained parameters too. Raises ConfigError for another
        parameter, or for a value that the loss does not allow.
        """
        for name in parameters:
            if name not in self.varying:
                raise ConfigError(
                    f"loss.{name}: {type(self).__name__} has no such parameter that can vary; "
                    f"allowed are {list(self.varying)}"
                )
        varied = copy.copy(self)
        for name, values in parameters.items():
            setattr(varied, name, values)
        varied.check()
        return varied

    def check(self) -> None:
        """Raise ConfigError unless every parameter has a value that the loss allows."""

    def score(self, output: Tensor) -> Tensor:
        """The logits that metrics and later tasks read; as a rule the output itself."""
        return output

    @abstractmethod
    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Loss of every event, shape [event], from a task's output and its truth."""
