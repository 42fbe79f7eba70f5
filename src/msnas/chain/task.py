"""A task: one step of a chain, with its inputs, target, loss and metrics."""

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
    """Name of the batch's tensor [event] that holds a weight of the task's loss for every event."""
    return f"weight of {task}"


def parameter_key(task: str, parameter: str) -> str:
    """Name of the batch's tensor [event] that holds a parameter of the loss for every event."""
    return f"{parameter} of {task}"


@dataclass(frozen=True, kw_only=True)
class Task:
    """A sub-task: its inputs, its target, and the loss and metrics of its output.

    `inputs` are names of fields or of earlier tasks' targets; `target` is a field. A task without
    `loss`, such as layers shared by several tasks, has no truth: `target` is then only the name
    under which later tasks read its output, and it learns from their losses. `counts` is a field
    that is nonzero for the objects to count. `field` encodes the target and knows its units.
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
        """Prepare the loss for the shape of the output; raise ConfigError for a useless setting."""
        if self.loss is not None:
            self.loss.prepare(self.output.numbers)
            if self.loss.fake_weight and self.counts is None:
                raise ConfigError(
                    f"tasks.{self.name}.loss.fake_weight: does nothing without "
                    f"tasks.{self.name}.counts, which tells what is fake"
                )

    @property
    def truths(self) -> set[str]:
        """Names of the fields that the loss and the metrics need."""
        return {self.target} if self.counts is None else {self.target, self.counts}

    def counting(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        """Mask [event, object] of the objects that count; None if the task has no `counts`."""
        return None if self.counts is None else batch[self.counts] != 0

    def fit_loss(self, train: Mapping[str, Tensor]) -> None:
        """Let the loss learn what it needs, such as class counts, from the training events.

        Raises DataError, naming the task, if this fails. Raises ConfigError if the loss does not
        take the task's outputs, or if events have weights and a metric cannot use them.
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
        """The loss averaged over the events, a scalar."""
        return self.event_losses(output, batch).mean()

    def event_losses(self, output: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """The (weighted) loss of every event, shape [event].

        For every event, a batch may hold its `weight`, a weight of this task (`share_key`) and
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
        """The finished output as metrics and later tasks read it, adjusted by the loss."""
        return self.loss.score(output) if self.loss is not None else output

    def measured(self, values: Tensor) -> Tensor:
        """An output or a truth as metrics read it: numbers in the units of the data source."""
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
        """A finished output in the form in which later tasks read it."""
        return self.output.from_output(self.scored(output))

    def measure(self, output: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        """Every metric, as `<task>/<metric>`, of the outputs of all events in the detector's frame.

        Only objects that count enter (see `counting`), with the event's own weight if there is
        one. A value is a number, or a number per variable for a `VariableMetric`.
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
