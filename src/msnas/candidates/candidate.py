"""What a candidate of this package is; any PyTorch module that is called the same way will do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from msnas.part import Part


class Candidate(Part, nn.Module, ABC):
    """A model that can do a task.

    Called with the task's inputs by name, [event, ...] each, in the order the task declares them;
    or with those that it `reads`, which may be fewer, or others: fields that are no truths, and
    what earlier tasks hand on. A method `film_sites()` may name the modules whose inputs a
    conditioning modulates (see `msnas.conditioning.film.Conditioned`).
    """

    is_dummy: ClassVar[bool] = False
    """Whether it learns nothing: some searches refuse those."""

    reads: Sequence[str] | None = None
    """Names of what it is called with; None: the task's inputs."""

    @abstractmethod
    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Raw output of every event, [event, ...] as the task's output has it."""
