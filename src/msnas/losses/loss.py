"""What a loss is."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Loss(nn.Module, ABC):
    """One value per event; the mean over events, event weights and task weights come later."""

    @abstractmethod
    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Loss of every event, shape [event], from a task's output and its truth."""
