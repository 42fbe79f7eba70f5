"""What a weighting is: the way the losses of the tasks become one number to descend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn


class Weighting(nn.Module, ABC):
    """Combine one loss per task, in the order of the chain."""

    @abstractmethod
    def combine(self, losses: Sequence[Tensor]) -> Tensor:
        """The scalar to descend, from one scalar loss per task."""
