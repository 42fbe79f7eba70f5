"""Statistical error, due to the finite sample of events, of a combination of metrics or losses."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torchmetrics.classification import BinaryAUROC

from msnas.auc import auc_contrast_error
from msnas.chain.task import Task
from msnas.data.events import OWN_WEIGHT
from msnas.evaluation.class_auc import ClassAUC, log_odds
from msnas.evaluation.mean_loss import MeanLoss
from msnas.evaluation.weighted import per_object, weighted_value
from msnas.libraries import Metric

RESAMPLES = 300
"""Number of resamples of the bootstrap over events, for metrics without an error formula."""


@torch.no_grad()
def sample_error(
    task: Task,
    metric_name: str,
    outputs: Sequence[Tensor],
    events: Mapping[str, Tensor],
    weights: Float[np.ndarray, " model"],
) -> float:
    """Standard error of sum_k weights_k (metric of outputs_k), such as a difference with (1, -1).

    `outputs` are finished outputs of `task` for the same `events`; `metric_name` is a metric's name
    or `loss`. The error of an AUC of one score per event is from DeLong's covariance; the error of
    a mean loss is from the spread of the events' combined losses; all other errors, and those of
    metrics of weighted events, are from a bootstrap over events.
    """
    truth, counting = task.measured(events[task.target]), task.counting(events)
    weight = events.get(OWN_WEIGHT)
    if metric_name not in task.metrics:
        return _mean_error([task.event_losses(output, events) for output in outputs], weights)
    metric = task.metrics[metric_name]
    scored = [task.measured(task.scored(output)) for output in outputs]
    plain = counting is None and weight is None
    if isinstance(metric, MeanLoss) and plain:
        return _mean_error([metric.loss(output, truth) for output in scored], weights)
    if plain and (classes := _scores_and_classes(metric, scored, truth)) is not None:
        return auc_contrast_error(*classes, weights)
    return bootstrap_error(
        metric,
        scored,
        truth,
        weights,
        generator=np.random.default_rng(0),
        counting=counting,
        event_weight=weight,
    )


def bootstrap_error(
    metric: Metric,
    outputs: Sequence[Tensor],
    truth: Tensor,
    weights: Float[np.ndarray, " model"],
    *,
    generator: np.random.Generator,
    counting: Tensor | None = None,
    event_weight: Tensor | None = None,
) -> float:
    """Standard error of sum_k weights_k metric(outputs_k), by drawing events with replacement.

    Each of `outputs` is [event, ...]; all models get the same draws. With a mask `counting` [event,
    object] the metric sees only those objects of the drawn events. `event_weight` [event] are the
    weights of the events.
    """
    if event_weight is not None and counting is not None:
        event_weight = per_object(event_weight, counting)
    metric = copy.deepcopy(metric)
    combined = []
    for _ in range(RESAMPLES):
        chosen = torch.from_numpy(generator.integers(len(truth), size=len(truth)))
        own = None if event_weight is None else _rows(event_weight, chosen, counting)
        values = []
        for output in outputs:
            drawn, true = (_rows(one, chosen, counting) for one in (output, truth))
            values.append(float(weighted_value(metric, drawn, true, own)))
        combined.append(float(weights @ np.array(values)))
    return float(np.std(combined, ddof=1))


def _mean_error(losses: Sequence[Tensor], weights: Float[np.ndarray, " model"]) -> float:
    """Standard error of the mean over events of sum_k weights_k losses_k, with losses [event]."""
    combined = weights @ torch.stack(list(losses)).double().cpu().numpy()
    return float(np.std(combined, ddof=1) / math.sqrt(len(combined)))


def _rows(values: Tensor, chosen: Tensor, counting: Tensor | None) -> Tensor:
    return values[chosen] if counting is None else values[chosen][counting[chosen]]


def _scores_and_classes(
    metric: Metric, outputs: Sequence[Tensor], truth: Tensor
) -> tuple[Float[np.ndarray, "model event"], Integer[np.ndarray, " event"]] | None:
    """Scores and labels for DeLong's covariance, if the metric is an AUC of one score per event."""
    if isinstance(metric, ClassAUC):
        scores = torch.stack([log_odds(output)[..., metric.class_index] for output in outputs])
        label = (truth == metric.class_index).long()
    elif isinstance(metric, BinaryAUROC) and metric.max_fpr is None:
        scores, label = torch.stack(list(outputs)), truth
    else:
        return None
    both = min(int((label == one).sum()) for one in (0, 1)) >= 2
    if label.ndim > 1 or not both:
        return None
    return scores.double().cpu().numpy(), label.cpu().numpy()
