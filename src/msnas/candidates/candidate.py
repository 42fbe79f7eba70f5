"""Base class of this package's candidates; any PyTorch module with the same call works too."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from msnas.part import Part


class Candidate(Part, nn.Module, ABC):
    """A model for a task.

    It is called with a mapping of the task's inputs by name, each [event, ...], in the order the
    task declares them. If it declares `reads`, it gets these tensors instead: fields that are no
    truths, and outputs of earlier tasks. A method `film_sites()` may list the modules whose inputs
    a conditioning modulates (see `msnas.conditioning.film.Conditioned`).
    """

    is_dummy: ClassVar[bool] = False
    """Whether the candidate is a dummy, which learns nothing; some searches refuse dummies."""

    reads: Sequence[str] | None = None
    """Names of the tensors that the candidate is called with; None means the task's inputs."""

    @abstractmethod
    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Raw output for every event, with the shape [event, ...] of the task's output."""
