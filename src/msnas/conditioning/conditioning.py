"""Which parameters the networks are conditioned on, and the batches that carry their values."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from msnas.chain.task import parameter_key, share_key
from msnas.conditioning.film import CONDITION
from msnas.conditioning.laws import Law

log = logging.getLogger("msnas")

TASK_WEIGHT = "task_weight"
TASK_WEIGHTS = "task_weights"

Batch = dict[str, Tensor]
Point = dict[str, float]
"""One value for each parameter, by its key."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter of the training's loss.

    `scalar` is its name in the loss of `task`. None stands for the weight of `task`: v1 of two
    tasks, or in any chain the weight relative to the last task's weight.
    """

    key: str
    task: str
    scalar: str | None
    law: Law

    @property
    def name(self) -> str:
        """The name of the parameter in `conditioning.laws`."""
        return self.scalar or self.key.split(".")[0]


@final
class Conditioning:
    """YOTO: parameters drawn for every event while training, chosen freely afterwards.

    Dosovitskiy & Djolonga, "You Only Train Once", ICLR 2020. `tasks` are the supervised tasks.
    Drawn weights are normalised to 1, event by event: a v1 weights the first of two tasks by v1
    and the second by 1 - v1; in a chain of any length every task but the last has a weight relative
    to the last task's. `stratified` draws are evenly spread over the events of every batch (as the
    preferences of PaLoRA, arXiv:2407.08056), not independent.
    """

    def __init__(
        self, parameters: Sequence[Parameter], *, tasks: Sequence[str], stratified: bool = False
    ) -> None:
        self.parameters = tuple(parameters)
        self.tasks = tuple(tasks)
        self.stratified = stratified

    @property
    def of_task_weights(self) -> bool:
        """Whether weights of tasks are among the parameters."""
        return any(one.scalar is None for one in self.parameters)

    def draw(self, batch: Batch, generator: torch.Generator) -> Batch:
        """A batch with a new draw for every event."""
        events, count = len(next(iter(batch.values()))), len(self.parameters)
        if self.stratified:  # evenly spread over every batch
            return self._with_losses(
                batch, self._even(events, torch.rand(count, generator=generator))
            )
        unit = torch.rand(events, count, generator=generator) * 2 - 1
        return self._with_losses(batch, unit)

    def spread(self, batch: Batch) -> Batch:
        """A batch with values spread evenly over the events, the same values every time."""
        events = len(next(iter(batch.values())))
        return self._with_losses(
            batch, self._even(events, torch.full((len(self.parameters),), 0.5))
        )

    def _even(
        self, events: int, start: Float[Tensor, " parameter"]
    ) -> Float[Tensor, "event parameter"]:
        """Coordinates of an additive recurrence (Roberts' R sequence), evenly spread anywhere.

        For one parameter, multiples of the golden ratio.
        """
        count, root = len(self.parameters), 2.0
        for _ in range(50):  # the real root of x^(count + 1) = x + 1
            root = (1 + root) ** (1 / (count + 1))
        steps = root ** -torch.arange(1, count + 1, dtype=torch.float64)
        index = torch.arange(1, events + 1, dtype=torch.float64).unsqueeze(1)
        return ((start.double() + index * steps) % 1 * 2 - 1).float()

    def at(self, batch: Mapping[str, Tensor], point: Mapping[str, float]) -> Batch:
        """A batch with the same values for all events; task weights are left to the weighting."""
        events = len(next(iter(batch.values())))
        unit = torch.tensor([one.law.unit(point[one.key]) for one in self.parameters])
        return {
            **batch,
            CONDITION: unit.expand(events, -1),
            **{
                parameter_key(one.task, one.scalar): torch.full(
                    (events,), point[one.key], dtype=torch.float64
                )
                for one in self.parameters
                if one.scalar is not None
            },
        }

    def points(self) -> list[Point]:
        """Every combination of the values that a run is judged at."""
        return [
            dict(zip([one.key for one in self.parameters], values, strict=True))
            for values in product(*(one.law.points for one in self.parameters))
        ]

    def inside(self, point: Mapping[str, float]) -> Point:
        """The point moved into the ranges of the laws; a warning names every value that moves."""
        moved = {}
        for one in self.parameters:
            value = point[one.key]
            moved[one.key] = value
            if not one.law.contains(value):
                low, high = one.law.limits()
                moved[one.key] = min(high, max(low, value))
                log.warning(
                    "%s=%g is outside %s, the range of the training; using %g",
                    one.key,
                    value,
                    one.law.range(),
                    moved[one.key],
                )
        return moved

    def task_weights(self, point: Mapping[str, float]) -> list[float] | None:
        """v_t at a point, if weights of tasks are among the parameters."""
        if not self.of_task_weights:
            return None
        shares = self._shares(
            {key: torch.tensor(value, dtype=torch.float64) for key, value in point.items()}
        )
        return [float(share) for share in shares]

    def _shares(self, values: Mapping[str, Tensor]) -> list[Tensor]:
        """Weights v_t of all tasks, of the shape of the values."""
        if TASK_WEIGHT in values:
            return [values[TASK_WEIGHT], 1 - values[TASK_WEIGHT]]
        relative = [values[one.key] for one in self.parameters if one.scalar is None]
        relative.append(torch.ones_like(relative[0]))  # the last task's
        whole = torch.stack(relative).sum(dim=0)
        return [one / whole for one in relative]

    def _with_losses(self, batch: Batch, unit: Float[Tensor, "event parameter"]) -> Batch:
        values = {
            one.key: one.law.value(unit[:, column]) for column, one in enumerate(self.parameters)
        }
        extended = {**batch, CONDITION: unit}
        for one in self.parameters:
            if one.scalar is not None:
                extended[parameter_key(one.task, one.scalar)] = values[one.key]
        if self.of_task_weights:  # relative to equal weights
            for task, share in zip(self.tasks, self._shares(values), strict=True):
                extended[share_key(task)] = (len(self.tasks) * share).float()
        return extended
