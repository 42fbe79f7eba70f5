"""Where tasks fight: their gradients at the output they share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """Of one batch: the norm of each task's gradient, the cosine between each pair.

    Gradients of the mean losses in `shared`, the first task's output, flattened over events: what
    its candidate is asked to do. A task whose loss does not depend on it has norm 0, no cosine.
    """

    norms: Sequence[float]
    cosines: dict[tuple[int, int], float]

    def by_name(self, names: Sequence[str]) -> dict[str, dict[str, float]]:
        """`gradient_norm` by task, `gradient_cosine` by `<task>,<task>`; only finite ones."""
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
    """Measure it; no gradient of a parameter, no random number and no graph is touched."""
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
    """D loss / d `shared`, flat, of every loss; None where it does not depend on it."""
    gradients: list[Tensor | None] = []
    for loss in losses:
        gradient: Tensor | None = None
        if shared.requires_grad and loss.requires_grad:
            (gradient,) = torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True)
        gradients.append(None if gradient is None else gradient.flatten())
    return gradients
