"""Fixed task weights v_t."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from torch import Tensor

from msnas.errors import ConfigError
from msnas.weighting.weighting import Weighting


@final
class Fixed(Weighting):
    """sum_t v_t L_t (paper, section 3). A task of weight 0 is left out: no gradient of its own."""

    def __init__(self, *, weights: Sequence[float]) -> None:
        super().__init__()
        if not weights or min(weights) < 0 or abs(sum(weights) - 1) > 1e-6:
            raise ConfigError(f"task weights must be non-negative with sum 1, found {weights}")
        self.weights = tuple(float(weight) for weight in weights)

    def combine(self, losses: Sequence[Tensor]) -> Tensor:
        """The weighted sum of `losses` (scalars, one per task)."""
        terms = [w * loss for w, loss in zip(self.weights, losses, strict=True) if w > 0]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total
