"""Statistical errors of test numbers due to the finite test sample. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache, partial
from typing import NamedTuple

import numpy as np

from msnas.auc import auc_contrast_error, auc_covariance
from msnas.elsewhere import Begin, shares
from msnas.errors import DataError
from msnas.results.outputs import Outputs, binary_of, read_outputs
from msnas.results.quantity import Quantity
from msnas.results.records import is_number
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
    value = quantity.of(run)
    seen = None if value is None else _seen(run)
    if value is None or seen is None:
        return None
    if quantity.name == VALIDITY or _metric(run, quantity) == ACCURACY:
        return proportion_error(value, seen.events)
    known = seen.scores.get(quantity.name)
    return None if known is None else known.error


def paired_event_error(pairs: Sequence[tuple[Result, Result]], quantity: Quantity) -> float | None:
    """Standard error, due to the test events, of the mean AUC difference of pairs of runs.

    All runs are judged on the same events, so the error does not shrink with the number of pairs
    as it would for independent samples. None if a run has no outputs or other events.
    """
    known: list[_Scores] = []
    for run in [run for pair in pairs for run in pair]:
        seen = _seen(run) if _metric(run, quantity) == AUC else None
        own = None if seen is None else seen.scores.get(quantity.name)
        if own is None or (known and not np.array_equal(own.label, known[0].label)):
            return None
        known.append(own)
    if not known:
        return None
    weights = np.tile([1.0, -1.0], len(pairs)) / len(pairs)
    scores = np.stack([one.scores for one in known]).astype(float)
    return auc_contrast_error(scores, known[0].label, weights)


class _Scores(NamedTuple):
    """What a task puts out for each test event, the true class, and the AUC's standard error."""

    scores: np.ndarray
    label: np.ndarray
    error: float


class _Seen(NamedTuple):
    """The number of test events, and scores by the metric that is their AUC."""

    events: int
    scores: Mapping[str, _Scores]


_begun: dict[Result, Callable[[], _Seen | None]] = {}


def read_ahead(runs: Sequence[Result], begin: Begin) -> None:
    """Begin to read the test events of many runs; what was begun before is forgotten."""
    _begun.clear()
    for share in shares(runs):
        waiting = cache(begin(_all_seen, share))
        _begun.update((run, partial(_one_of, waiting, place)) for place, run in enumerate(share))


def _all_seen(runs: Sequence[Result]) -> list[_Seen | None]:
    return [_read(run) for run in runs]


def _one_of(waiting: Callable[[], list[_Seen | None]], place: int) -> _Seen | None:
    return waiting()[place]


@lru_cache(maxsize=4096)  # small: the file is read for no other task, and once
def _seen(run: Result) -> _Seen | None:
    begun = _begun.pop(run, None)
    return _read(run) if begun is None else begun()


def _read(run: Result) -> _Seen | None:
    """What is known of a run's test events; None without stored outputs, and of weighted events."""
    names = {
        f"{task}/{name}": task
        for task, settings in run.config["tasks"].items()
        for name, metric in settings.get("metrics", {}).items()
        if metric.get("_target_") == AUC
    }
    try:
        outputs = read_outputs(run, only=set(names.values()))
    except DataError:
        return None
    if not np.all(outputs.weight == 1):
        return None
    scores = {name: _scores(outputs, name, task) for name, task in names.items()}
    known = {name: one for name, one in scores.items() if one is not None}
    return _Seen(len(outputs.weight), known)


def _scores(outputs: Outputs, name: str, task: str) -> _Scores | None:
    """Scores of a task, if their AUC is the run's number."""
    stated = outputs.run.test.get(name)
    try:
        scores, label = binary_of(outputs, task)
        auc, covariance = auc_covariance(scores[None], label)
    except (DataError, ValueError, KeyError):
        return None
    if not is_number(stated) or not abs(float(auc[0]) - stated) < SAME:
        return None
    return _Scores(outputs.output[task], label.astype(np.int8), float(np.sqrt(covariance[0, 0])))


def _metric(run: Result, quantity: Quantity) -> str | None:
    """The class of a task's metric."""
    metrics = run.config["tasks"].get(quantity.task, {}).get("metrics", {})
    found = metrics.get(quantity.metric, {}).get("_target_")
    return None if found is None else str(found)
