"""Metrics of weighted events: an event of weight 2 counts like two events.

Weights may be negative, as in simulations beyond leading order.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torchmetrics.classification import BinaryAUROC
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError

from msnas.errors import ConfigError, DataError
from msnas.libraries import Metric


def per_object(weight: Float[Tensor, " event"] | None, target: Tensor) -> Tensor:
    """The weight of the event of every object of `target` [event, ...]; integer 1 by default."""
    if weight is None:
        return torch.ones_like(target, dtype=torch.int64)
    return weight.double().view(-1, *[1] * (target.ndim - 1)).expand(target.shape)


def weighted_auc(
    score: Float[Tensor, " object"],
    positive: Integer[Tensor, " object"],
    weight: Float[Tensor, " object"],
) -> Float[Tensor, ""]:
    """Area under the ROC curve: sum_ij w_i w_j psi(score_i, score_j) / (sum_i w_i sum_j w_j).

    i runs over objects of class 1, j over objects of class 0; psi is 1 if the score of i is higher,
    1/2 if the scores are equal, else 0. Raises DataError unless each class has a weight sum > 0.

    >>> score, positive = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0, 1, 0])
    >>> float(weighted_auc(score, positive, torch.tensor([3.0, 1.0, 1.0])))
    0.75
    """
    _, place = torch.unique(score, return_inverse=True)
    sums = [
        torch.bincount(place, weights=torch.where(positive == one, weight.double(), 0.0))
        for one in (0, 1)
    ]
    for one, weights in enumerate(sums):
        if not (total := float(weights.sum())) > 0:
            raise DataError(
                f"weight: the weights of class {one} sum to {total:g}, expected more than 0"
            )
    zeros, ones = sums
    below = zeros.cumsum(0) - zeros / 2
    return (ones * below).sum() / (zeros.sum() * ones.sum())


def weighted_quantile(
    values: Float[Tensor, "event variable"], share: float, weight: Float[Tensor, " event"]
) -> Float[Tensor, " variable"]:
    """For each variable the smallest value at which the cumulative weight reaches `share`.

    >>> weighted_quantile(torch.tensor([[1.0], [2.0], [3.0]]), 0.5, torch.tensor([1.0, 1, 5]))
    tensor([3.])
    """
    ordered, order = values.sort(0)
    reached = weight.double()[order].cumsum(0) >= share * weight.sum(dtype=torch.float64)
    return ordered.gather(0, reached.int().argmax(0, keepdim=True))[0]


def check_weighted(metric: Metric, *, key: str) -> None:
    """Raise ConfigError, naming `key`, for a metric that cannot use event weights."""
    whole = type(metric) in OF_TORCHMETRICS and not getattr(metric, "max_fpr", None)
    if not (whole or _takes_weight(metric)):
        known = ", ".join(kind.__name__ for kind in OF_TORCHMETRICS)
        raise ConfigError(
            f"{key}: {type(metric).__name__} takes no event weights, and the events have some "
            f"(array weight); allowed are those of msnas, {known}, and metrics whose update takes "
            "weight"
        )


def weighted_value(
    metric: Metric, output: Tensor, target: Tensor, weight: Float[Tensor, " event"] | None
) -> Tensor:
    """The metric over all events, with event weights if there are any."""
    if weight is not None and not _takes_weight(metric):
        return OF_TORCHMETRICS[type(metric)](metric, output, target, weight)
    metric.to(output.device).reset()
    metric.update(output, target, **({} if weight is None else {"weight": weight}))
    value: Tensor = metric.compute()
    metric.reset()
    return value


def _takes_weight(metric: Metric) -> bool:
    return "weight" in inspect.signature(metric.update).parameters


def _auc(_: Metric, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    each = per_object(weight, target)
    return weighted_auc(output.flatten(), target.flatten(), each.flatten())


def _squared_error(metric: Any, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    mean = _mean((output - target).square(), weight)
    return mean if metric.squared else mean.sqrt()


def _absolute_error(_: Metric, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    return _mean((output - target).abs(), weight)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    each = per_object(weight, values)
    return (values * each).sum() / each.sum()


OF_TORCHMETRICS: Mapping[type[Metric], Callable[[Any, Tensor, Tensor, Tensor], Tensor]] = {
    BinaryAUROC: _auc,
    MeanAbsoluteError: _absolute_error,
    MeanSquaredError: _squared_error,
}
"""Metrics of torchmetrics that take no event weights, and their weighted versions."""
