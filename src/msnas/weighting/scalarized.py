"""The losses of the tasks joined by a scalarizer of torchjd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, final

import torch
from torch import Tensor
from torchjd.scalarization import DWA, FAMO, Scalarizer

from msnas.errors import TrainingError
from msnas.weighting.library import check, kept, made, restore
from msnas.weighting.weighting import Weighting

KEY = "weighting.scalarizer"


@final
class Scalarized(Weighting):
    """Descends the loss of `scalarizer`; a task's weight is the derivative of this loss in L_t.

    The stage's optimiser trains the parameters of a scalarizer (UW, IMTLL). DWA is told when an
    epoch ends, FAMO which losses the events of a step have after that step.
    """

    makes_itself: ClassVar[tuple[str, ...]] = ("scalarizer",)

    def __init__(self, *, scalarizer: Any) -> None:
        super().__init__()
        self._settings = scalarizer
        self._before: list[Tensor] = []
        self._after: list[Tensor] | None = None

    def _prepare(self, tasks: int) -> None:
        ones = torch.ones(tasks)
        check(self._settings, KEY, Scalarizer, on=ones)
        self.scalarizer = made(
            self._settings, KEY, Scalarizer, tasks=tasks, rows=range(tasks), like=ones
        )
        self.looks_back = isinstance(self.scalarizer, FAMO)

    def _step(
        self,
        losses: Sequence[Tensor],
        *,
        shared: Tensor,
        backward: Callable[[Tensor], None],
        share: float,
    ) -> Tensor | None:
        values = torch.stack(list(losses))
        if self._after is not None:
            self._after.append(values)
            return None
        for name, value in list(vars(self.scalarizer).items()):
            if isinstance(value, Tensor):  # no buffer: it does not follow the module
                setattr(self.scalarizer, name, value.to(values))
        try:
            combined = self.scalarizer(values.requires_grad_())
        except ValueError as error:
            raise TrainingError(f"weighting.scalarizer: {error}") from error
        (weights,) = torch.autograd.grad(combined, values, retain_graph=True)
        backward(share * combined)
        if self.looks_back:
            self._before.append(values.detach())
        return weights

    @torch.no_grad()
    def look_back(self, again: Callable[[], object]) -> None:
        """FAMO compares the losses before and after a step; for several chains the mean losses."""
        self._after = []
        again()
        assert isinstance(self.scalarizer, FAMO)
        self.scalarizer(torch.stack(self._before).mean(0))
        self.scalarizer.update(torch.stack(self._after).mean(0))
        self._before, self._after = [], None

    def _end_epoch(self) -> None:
        if isinstance(self.scalarizer, DWA):
            self.scalarizer.step()

    def kept(self) -> Any:
        """The state of the scalarizer beside its parameters."""
        return kept(self.scalarizer)

    def restore(self, state: Any) -> None:
        """Give the scalarizer its state back."""
        restore(self.scalarizer, state)
