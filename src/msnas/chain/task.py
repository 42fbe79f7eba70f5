"""One step of a chain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from msnas.chain.output import Output, Regression
from msnas.data.events import OWN_WEIGHT
from msnas.data.fields import Field
from msnas.data.frames import TURN
from msnas.errors import ConfigError, DataError, TrainingError
from msnas.evaluation.variable_metric import VariableMetric
from msnas.evaluation.weighted import check_weighted, per_object, weighted_value
from msnas.libraries import Metric
from msnas.losses.loss import Loss


def share_key(task: str) -> str:
    """Name of a batch's tensor [event] that holds a weight of the task for every event."""
    return f"weight of {task}"


def parameter_key(task: str, parameter: str) -> str:
    """Name of a batch's tensor [event] that holds a parameter of a loss for every event."""
    return f"{parameter} of {task}"


@dataclass(frozen=True, kw_only=True)
class Task:
    """A sub-task: what it reads, what it should put out, how that is judged.

    `inputs` are names of fields or of earlier tasks' targets; `target` is a field. A task without
    `loss` has no truth of its own, such as layers that several tasks share: `target` is then the
    name under which later tasks read its output, and it learns from their losses alone. `field` is
    that of the target, which a run gives: it knows the units of numbers.
    """

    name: str
    inputs: tuple[str, ...]
    target: str
    output: Output
    loss: Loss | None
    metrics: Mapping[str, Metric]
    counts: str | None = None
    field: Field | None = None

    def __post_init__(self) -> None:
        """Tell the loss what it will see."""
        if self.loss is not None:
            self.loss.prepare(self.output.numbers)
            if self.loss.fake_weight and self.counts is None:
                raise ConfigError(
                    f"tasks.{self.name}.loss.fake_weight: does nothing without "
                    f"tasks.{self.name}.counts, which tells what is fake"
                )

    @property
    def truths(self) -> set[str]:
        """Names of the fields that loss and metrics need."""
        return {self.target} if self.counts is None else {self.target, self.counts}

    def counting(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        """Which objects of the events count, [event, object]; None if that is not told."""
        return None if self.counts is None else batch[self.counts] != 0

    def fit_loss(self, train: Mapping[str, Tensor]) -> None:
        """Let the loss learn what it needs, such as class counts, from the training part.

        Raises DataError naming the task if it cannot, ConfigError if its loss does not take what
        the task puts out, or a metric no weights where events have some.
        """
        if self.loss is not None:
            if OWN_WEIGHT in train:
                for name, metric in self.metrics.items():
                    check_weighted(metric, key=f"tasks.{self.name}.metrics.{name}")
            self._check_counting(self.counting(train), train[self.target])
            try:
                self.loss.fit(train[self.target])
            except DataError as error:
                raise DataError(f"tasks.{self.name}.loss: {error}") from error
            self._check_loss({name: value[:2] for name, value in train.items()})

    def _check_counting(self, counting: Tensor | None, target: Tensor) -> None:
        if counting is None:
            return
        if counting.ndim < 2 or counting.shape != target.shape[: counting.ndim]:
            raise ConfigError(
                f"tasks.{self.name}.counts: {self.counts!r} has shape {list(counting.shape[1:])} "
                f"per event, expected that of the objects of {self.target!r}, whose shape is "
                f"{list(target.shape[1:])}"
            )
        if not counting.any():
            raise DataError(f"tasks.{self.name}.counts: {self.counts!r} is 0 for all objects")

    def _check_loss(self, few: Mapping[str, Tensor]) -> None:
        """Raise ConfigError unless the loss takes the task's outputs and truths."""
        output = torch.zeros(2, *self.output.shape)
        try:
            with torch.no_grad():
                found = self.event_losses(output, few)
        except (RuntimeError, ValueError, IndexError) as error:
            raise ConfigError(
                f"tasks.{self.name}.loss: {type(self.loss).__name__} does not take outputs "
                f"{list(output.shape[1:])} with truths {list(few[self.target].shape[1:])} per "
                f"event: {error}"
            ) from error
        if found.shape != (2,):
            raise ConfigError(
                f"tasks.{self.name}.loss: {type(self.loss).__name__} gives {list(found.shape)} for "
                "two events, expected one value per event"
            )

    @property
    def supervised(self) -> bool:
        """Whether the task has a loss of its own."""
        return self.loss is not None

    def mean_loss(self, output: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean over the events of the loss, a scalar."""
        return self.event_losses(output, batch).mean()

    def event_losses(self, output: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """The (weighted) loss of every event, shape [event].

        A batch may hold, for every event, its `weight`, this task's weight (`share_key`) and
        values of the loss's parameters (`parameter_key`).
        """
        loss = self.loss
        assert loss is not None
        own = {
            name: batch[parameter_key(self.name, name)]
            for name in loss.varying
            if parameter_key(self.name, name) in batch
        }
        target, counting = batch[self.target], self.counting(batch)
        if counting is None:
            losses: Tensor = (loss.at(own) if own else loss)(output, target)
        else:
            last, objects = counting.ndim - 1, counting[0].numel()
            own = {name: value.repeat_interleave(objects) for name, value in own.items()}
            each: Tensor = (loss.at(own) if own else loss)(
                output.flatten(0, last), target.flatten(0, last)
            )
            weight = torch.where(counting, 1.0, loss.fake_weight).to(each)
            losses = (each.view(len(target), objects) * weight.flatten(1)).sum(1)
        if share_key(self.name) in batch:
            losses = losses * batch[share_key(self.name)]
        return losses * batch["weight"] if "weight" in batch else losses

    def scored(self, output: Tensor) -> Tensor:
        """The finished output as metrics and later tasks read it."""
        return self.loss.score(output) if self.loss is not None else output

    def measured(self, values: Tensor) -> Tensor:
        """An output or a truth as metrics read it: numbers in the unit that the source has."""
        if self.field is not None and isinstance(self.output, Regression):
            return self.field.decode(values)
        return values

    def prediction(self, output: Tensor) -> Tensor:
        """A scored output in the units a user reads."""
        return self.measured(self.output.prediction(output))

    def truth(self, target: Tensor) -> Tensor:
        """The truth in the units a user reads."""
        return self.measured(self.output.truth(target))

    def hand_on(self, output: Tensor) -> Tensor:
        """What later tasks read of a finished output."""
        return self.output.from_output(self.scored(output))

    def measure(self, output: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        """Every metric, as `<task>/<metric>`, of the outputs of all events in the detector's frame.

        Of the objects that count, where that is told; an event counts by its own weight, if it has
        one. A number, or for a metric with `variables` a number for each of them.
        """
        values: dict[str, Any] = {}
        output, truth = self.scored(output), batch[self.target]
        if TURN in batch:
            output, truth = (self.output.turn_back(one, batch[TURN]) for one in (output, truth))
        output, truth, weight = self.measured(output), self.measured(truth), batch.get(OWN_WEIGHT)
        if (counting := self.counting(batch)) is not None:
            if weight is not None:
                weight = per_object(weight, counting)[counting]
            output, truth = output[counting], truth[counting]
        for name, metric in self.metrics.items():
            value = weighted_value(metric, output, truth, weight)
            values[f"{self.name}/{name}"] = (
                dict(zip(metric.variables, value.tolist(), strict=True))
                if isinstance(metric, VariableMetric)
                else float(value)
            )
        for name, value in values.items():
            numbers = value.values() if isinstance(value, dict) else [value]
            if not all(math.isfinite(number) for number in numbers):
                raise TrainingError(f"{name} is {value}: the outputs or the data are not finite")
        return values
