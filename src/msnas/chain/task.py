"""One step of a chain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torchmetrics import Metric

from msnas.chain.output import Output
from msnas.errors import TrainingError
from msnas.evaluation.variable_metric import VariableMetric
from msnas.losses.loss import Loss


@dataclass(frozen=True, kw_only=True)
class Task:
    """A sub-task: what it reads, what it should put out, how that is judged.

    `inputs` are names of fields or of earlier tasks' targets; `target` is a field.
    """

    name: str
    inputs: tuple[str, ...]
    target: str
    output: Output
    loss: Loss
    metrics: Mapping[str, Metric]

    def mean_loss(self, output: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean over the events of the (weighted) loss, a scalar."""
        losses: Tensor = self.loss(output, batch[self.target])
        return (losses * batch["weight"]).mean() if "weight" in batch else losses.mean()

    def measure(self, output: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        """Every metric, as `<task>/<metric>`, of the outputs of all events.

        A number, or for a metric with `variables` a number for each of them.
        """
        values: dict[str, Any] = {}
        for name, metric in self.metrics.items():
            metric.to(output.device).reset()
            metric.update(output, batch[self.target])
            value = metric.compute()
            values[f"{self.name}/{name}"] = (
                dict(zip(metric.variables, value.tolist(), strict=True))
                if isinstance(metric, VariableMetric)
                else float(value)
            )
            metric.reset()
        for name, value in values.items():
            numbers = value.values() if isinstance(value, dict) else [value]
            if not all(math.isfinite(number) for number in numbers):
                raise TrainingError(f"{name} is {value}: the outputs or the data are not finite")
        return values
