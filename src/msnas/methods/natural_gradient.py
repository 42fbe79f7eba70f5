"""Adaptive stochastic natural gradient over categorical distributions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self, final

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from msnas.errors import ConfigError


@final
class NaturalGradient(nn.Module):
    """The categorical distributions theta of ASNG and their update, in float64.

    Akimoto et al., arXiv:1905.08537, Algorithm 1 with the categorical distributions of section
    4.2: two samples, utilities +-1 (alpha = 1.5, delta_init = 1). Every probability of a task of K
    candidates stays above theta_min = `floor` / K.

    Delta (`trust`) is kept above 1 / sqrt(N), N the degrees of freedom, so that beta <= 1. Without
    this limit a clear signal after long noise can drive beta above 2: the update is then undefined.

    `floor="published"` is the paper's theta_min = 1 / (d (K - 1)) for d tasks. It limits theta to
    1 - 1/d, so to 0.5 for two tasks, and has no solution for d = 1 or K = d = 2.
    """

    ALPHA = 1.5
    DELTA_INIT = 1.0

    theta: list[Tensor]
    path: Tensor
    gamma: Tensor
    trust: Tensor

    def __init__(self, sizes: Sequence[int], *, floor: float | str) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.minima = [_minimum(size, len(sizes), floor) for size in sizes]
        for task, size in enumerate(sizes):
            self.register_buffer(
                f"theta_{task}", torch.full((size,), 1.0 / size, dtype=torch.float64)
            )
        self.freedom = sum(size - 1 for size in sizes)
        self.register_buffer("path", torch.zeros(self.freedom).double())
        self.register_buffer("gamma", torch.zeros(()).double())
        self.register_buffer("trust", torch.ones(()).double())

    def _apply(self, *arguments: Any, **named: Any) -> Self:
        """Stay on the processor, where chains are drawn: a step would wait for a graphics card."""
        return self

    def distributions(self) -> list[Float[Tensor, " candidate"]]:
        """Theta of every task."""
        return [getattr(self, f"theta_{task}") for task in range(len(self.sizes))]

    def sample(self, generator: torch.Generator) -> list[int]:
        """Draw one candidate per task from theta, as indices."""
        return [
            int(torch.multinomial(theta, 1, generator=generator)) for theta in self.distributions()
        ]

    @torch.no_grad()
    def update(self, samples: Integer[Tensor, "2 task"], losses: Float[Tensor, " 2"]) -> None:
        """Move theta towards the better of two samples, evaluated on the same events.

        Theta stays the same if the samples are equal or have equal losses.
        """
        first, second = (float(loss) for loss in losses)
        if self.freedom == 0 or torch.equal(samples[0], samples[1]) or first == second:
            return
        utilities = (1.0, -1.0) if first < second else (-1.0, 1.0)
        gradients, whitened = [], []
        for task, theta in enumerate(self.distributions()):
            gradient = torch.zeros_like(theta)
            for utility, sample in zip(utilities, samples, strict=True):
                gradient += utility / 2 * (self._one_hot(task, int(sample[task])) - theta)
            gradients.append(gradient)
            root = theta.sqrt()
            whitened.append(
                gradient[:-1] / root[:-1] + root[:-1] * gradient[:-1].sum() / (theta[-1] + root[-1])
            )
        slope = torch.cat(whitened)
        norm = slope.norm()
        if norm == 0:
            return
        delta = self.DELTA_INIT / float(self.trust)
        beta = delta / math.sqrt(self.freedom)
        for theta, gradient in zip(self.distributions(), gradients, strict=True):
            theta += delta * gradient / norm
        rise = math.sqrt(beta * (2 - beta))
        self.path.mul_(1 - beta).add_(slope / norm, alpha=rise)
        self.gamma.mul_((1 - beta) ** 2).add_(beta * (2 - beta))
        self.trust.mul_(torch.exp(beta * (self.gamma - self.path.square().sum() / self.ALPHA)))
        # beta <= 1: beyond, the averages below stop being averages, and beta > 2 has no root
        self.trust.clamp_(min=1 / math.sqrt(self.freedom))
        for theta, minimum in zip(self.distributions(), self.minima, strict=True):
            theta.clamp_(min=minimum)
            total = theta.sum()
            theta -= (total - 1) * (theta - minimum) / (total - len(theta) * minimum)
            theta /= theta.sum()

    def _one_hot(self, task: int, index: int) -> Tensor:
        theta = self.distributions()[task]
        one = torch.zeros_like(theta)
        one[index] = 1
        return one


def _minimum(size: int, tasks: int, floor: float | str) -> float:
    if floor == "published":
        if tasks == 1 or size == 1 or size * (1 / (tasks * (size - 1))) >= 1:
            raise ConfigError(
                f"method.floor: the published floor has no solution for {tasks} tasks and "
                f"{size} candidates; give a number such as 0.1"
            )
        return 1 / (tasks * (size - 1))
    if isinstance(floor, str | bool) or not 0 < floor < 1:
        raise ConfigError(
            f"method.floor: expected a number between 0 and 1 or published, found {floor!r}"
        )
    return floor / size
