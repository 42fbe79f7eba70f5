"""The conflict between tasks: their gradients at the output that they share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """The norm of each task's gradient in one batch, and the cosine between each pair.

    The gradients are those of the mean losses with respect to `shared`, the first task's output,
    flattened over events. A task whose loss does not depend on it has norm 0 and no cosine.
    """

    norms: Sequence[float]
    cosines: dict[tuple[int, int], float]

    def by_name(self, names: Sequence[str]) -> dict[str, dict[str, float]]:
        """`gradient_norm` by task, `gradient_cosine` by `<task>,<task>`; only finite norms."""
        return {
            "gradient_norm": {
                name: norm
                for name, norm in zip(names, self.norms, strict=True)
                if math.isfinite(norm)
            },
            "gradient_cosine": {
                f"{names[one]},{names[other]}": cosine
                for (one, other), cosine in self.cosines.items()
            },
        }


def measure_conflict(losses: Sequence[Tensor], shared: Tensor) -> Conflict:
    """Measure the conflict; leaves parameters' gradients, random numbers and the graph alone."""
    gradients = [None if one is None else one.double() for one in shared_gradients(losses, shared)]
    norms = [0.0 if one is None else float(one.norm()) for one in gradients]
    cosines = {}
    for one, other in combinations(range(len(losses)), 2):
        first, second = gradients[one], gradients[other]
        if first is None or second is None or 0 in (norms[one], norms[other]):
            continue
        product = float((first / norms[one]) @ (second / norms[other]))
        if math.isfinite(product):
            cosines[one, other] = min(1.0, max(-1.0, product))
    return Conflict(norms=norms, cosines=cosines)


def shared_gradients(losses: Sequence[Tensor], shared: Tensor) -> list[Tensor | None]:
    """Flat gradient of every loss with respect to `shared`; None if it does not depend on it."""
    gradients: list[Tensor | None] = []
    for loss in losses:
        gradient: Tensor | None = None
        if shared.requires_grad and loss.requires_grad:
            (gradient,) = torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True)
        gradients.append(None if gradient is None else gradient.flatten())
    return gradients
