"""An exponential moving average of the weights that a stage trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn


@final
class Average:
    """Moving average a of all trainable weights w: a <- d a + (1 - d) w after every step.

    After t steps d is the smaller of `decay` and (1 + t) / (10 + t), so that the initial weights
    are forgotten early (as in TensorFlow's ExponentialMovingAverage).
    """

    def __init__(self, module: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self._live = {name: one for name, one in module.named_parameters() if one.requires_grad}
        self._kept = {name: one.detach().clone() for name, one in self._live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Add the weights after an optimiser step to the average."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(
            list(self._kept.values()), [one.detach() for one in self._live.values()], 1 - decay
        )

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the module's weights with their average."""
        for name, live in self._live.items():
            other = live.detach().clone()
            live.copy_(self._kept[name])
            self._kept[name].copy_(other)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Context in which the module holds the averaged weights."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def state(self) -> dict[str, Any]:
        """The average and its number of steps, for a checkpoint."""
        return {"steps": self.steps, "weights": dict(self._kept)}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.steps = state["steps"]
        weights: Mapping[str, Tensor] = state["weights"]
        for name, kept in self._kept.items():
            kept.copy_(weights[name])
