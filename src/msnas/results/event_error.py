"""Statistical errors of test numbers due to the finite test sample. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from msnas.auc import auc_contrast_error, auc_covariance
from msnas.errors import DataError
from msnas.results.outputs import Outputs, binary_of, read_outputs
from msnas.results.quantity import Quantity
from msnas.results.result import VALIDITY, Result
from msnas.results.statistics import proportion_error

AUC = "torchmetrics.classification.BinaryAUROC"
ACCURACY = "msnas.evaluation.class_accuracy.ClassAccuracy"

SAME = 1e-4
"""Tolerance: an AUC computed from the outputs must equal the run's own number up to rounding."""


def event_error(run: Result, quantity: Quantity) -> float | None:
    """Standard error of a run's number due to its test events, for the given trained chain.

    By DeLong's method for an area under the ROC curve, binomial for a share of events; None for
    other metrics, for weighted events, and for a run without stored outputs of the test events.
    """
    outputs, value = _outputs(run), quantity.of(run)
    if outputs is None or value is None:
        return None
    if quantity.name == VALIDITY or _metric(run, quantity) == ACCURACY:
        return proportion_error(value, len(outputs.weight))
    if (known := _scores(outputs, quantity)) is None:
        return None
    _, covariance = auc_covariance(known[0][None], known[1])
    return float(np.sqrt(covariance[0, 0]))


def paired_event_error(pairs: Sequence[tuple[Result, Result]], quantity: Quantity) -> float | None:
    """Standard error, due to the test events, of the mean AUC difference of pairs of runs.

    All runs are judged on the same events, so the error does not shrink with the number of pairs
    as it would for independent samples. None if a run has no outputs or other events.
    """
    known: list[tuple[np.ndarray, np.ndarray]] = []
    for run in [run for pair in pairs for run in pair]:
        outputs = _outputs(run)
        own = None if outputs is None else _scores(outputs, quantity)
        if own is None or (known and not np.array_equal(own[1], known[0][1])):
            return None
        known.append(own)
    if not known:
        return None
    weights = np.tile([1.0, -1.0], len(pairs)) / len(pairs)
    return auc_contrast_error(np.stack([scores for scores, _ in known]), known[0][1], weights)


@lru_cache(maxsize=1)  # of a run with several quantities
def _outputs(run: Result) -> Outputs | None:
    try:
        outputs = read_outputs(run)
    except DataError:
        return None
    return outputs if np.all(outputs.weight == 1) else None


def _scores(outputs: Outputs, quantity: Quantity) -> tuple[np.ndarray, np.ndarray] | None:
    """Scores and classes, if the quantity is their AUC and they reproduce the run's number."""
    if _metric(outputs.run, quantity) != AUC:
        return None
    try:
        scores, label = binary_of(outputs, quantity.task)
        auc, _ = auc_covariance(scores[None], label)
    except (DataError, ValueError, KeyError):
        return None
    stated = quantity.of(outputs.run)
    return (scores, label) if stated is not None and abs(float(auc[0]) - stated) < SAME else None


def _metric(run: Result, quantity: Quantity) -> str | None:
    """The class of a task's metric."""
    metrics = run.config["tasks"].get(quantity.task, {}).get("metrics", {})
    found = metrics.get(quantity.metric, {}).get("_target_")
    return None if found is None else str(found)
