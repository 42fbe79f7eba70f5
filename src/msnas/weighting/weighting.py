"""The base class of weightings: how the losses of the tasks move the parameters."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self, final

from torch import Tensor, nn

from msnas.errors import ConfigError
from msnas.part import Part
from msnas.weighting.conflict import Conflict, measure_conflict


class Weighting(Part, nn.Module, ABC):
    """Combines one loss per supervised task, in the order of the chain.

    `weights` (sum 1) judge: validation losses, rankings and the training loss shown are
    sum_t weights_t L_t whatever the weighting, so epochs and chains stay comparable. The classes
    differ in the loss that training descends. Before use a weighting is prepared for the tasks'
    weights; every stage of training gets a fresh weighting.
    """

    takes_task_weights: ClassVar[bool] = False
    """Whether the user may choose `weights`; else they are equal."""

    uses_gradients: ClassVar[bool] = False
    """Whether a step looks at each task's own gradient, at an output that all tasks share."""

    looks_back: bool = False
    """Whether the weighting needs the losses after every step, by `look_back`."""

    weights: tuple[float, ...]

    def __init__(self) -> None:
        super().__init__()
        self._conflict: Conflict | None = None
        self._descended: Tensor | None = None
        self._steps = 0

    @final
    def prepare(self, weights: Sequence[float]) -> Self:
        """Make the weighting ready for tasks of these `weights`; raise ConfigError if it cannot."""
        if not weights or min(weights) < 0 or abs(sum(weights) - 1) > 1e-6:
            raise ConfigError(f"task weights must be non-negative with sum 1, found {weights}")
        if len(weights) < 2 and not self.takes_task_weights:
            raise ConfigError(
                f"weighting: {type(self).__name__} weighs tasks against each other, found one task "
                "with a loss; use weighting=fixed"
            )
        self.weights = tuple(float(weight) for weight in weights)
        self._prepare(len(weights))
        return self

    def _prepare(self, tasks: int) -> None:
        """Make the buffers and objects that depend on the number of tasks."""

    @final
    def combine(self, losses: Sequence[Tensor]) -> Tensor:
        """The loss that judges, from scalar losses or losses [event].

        A task of weight 0 is left out and gets no gradient.
        """
        terms = [w * loss for w, loss in zip(self.weights, losses, strict=True) if w > 0]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    @final
    def descend(
        self,
        losses: Sequence[Tensor],
        *,
        shared: Tensor,
        backward: Callable[[Tensor], None],
        share: float = 1.0,
    ) -> Tensor:
        """Add the gradients of one optimiser step; return `share` times the loss that judges.

        `shared` is the output of the first task: only its parameters serve several tasks.
        `backward` takes the place of `Tensor.backward`. `share` is the share of these losses in
        the whole step.
        """
        if self._conflict is None and len(losses) > 1:
            self._conflict = measure_conflict(losses, shared)
        weights = self._step(losses, shared=shared, backward=backward, share=share)
        if weights is not None:
            self._descended = weights if self._descended is None else self._descended + weights
            self._steps += 1
        return share * self.combine([loss.detach() for loss in losses])

    @abstractmethod
    def _step(
        self,
        losses: Sequence[Tensor],
        *,
        shared: Tensor,
        backward: Callable[[Tensor], None],
        share: float,
    ) -> Tensor | None:
        """Add the gradients; return the weight of each loss [task], None if it has not changed."""

    def look_back(self, again: Callable[[], object]) -> None:
        """Learn from the losses after a step; `again` calls `descend` as the step did."""

    def kept(self) -> Any:
        """The state from step to step beside parameters and buffers, for a checkpoint."""

    def restore(self, state: Any) -> None:
        """Take back a state that `kept` returned."""

    def _end_epoch(self) -> None:
        """Learn from the epoch that is over."""

    def take_record(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the epoch's record for the tasks called `names`, and forget it.

        `gradient_norm` and `gradient_cosine`: see `Conflict`, on the first training batch.
        `task_weight`: the mean over the steps, if there are weights. Nothing for a single task.
        """
        conflict, descended, steps = self._conflict, self._descended, self._steps
        self._conflict, self._descended, self._steps = None, None, 0
        self._end_epoch()
        if conflict is None:
            return {}
        if descended is None and not self.takes_task_weights:
            return conflict.by_name(names)
        weights = self.weights if descended is None else (descended / steps).tolist()
        return {**conflict.by_name(names), "task_weight": dict(zip(names, weights, strict=True))}

    def _plain(
        self, losses: Sequence[Tensor], *, backward: Callable[[Tensor], None], share: float
    ) -> None:
        """Descend the loss that judges."""
        loss = self.combine(losses)
        if loss.requires_grad:  # False where all weight is on a task done by a dummy
            backward(loss if share == 1 else share * loss)


def check_number(value: object, *, key: str, above: float, inclusive: bool = False) -> float:
    """`value` as a finite number above `above`; else raise ConfigError naming `key`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{key}: expected a finite number, found {value!r}")
    if value < above or (value == above and not inclusive):
        sign = ">=" if inclusive else ">"
        raise ConfigError(f"{key}: expected a number {sign} {above}, found {value}")
    return float(value)
