"""Fixed task weights v_t."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, final

from torch import Tensor

from msnas.weighting.weighting import Weighting


@final
class Fixed(Weighting):
    """Descends sum_t v_t L_t (paper, section 3)."""

    takes_task_weights: ClassVar[bool] = True

    def _step(
        self,
        losses: Sequence[Tensor],
        *,
        shared: Tensor,
        backward: Callable[[Tensor], None],
        share: float,
    ) -> None:
        self._plain(losses, backward=backward, share=share)
