"""Distribution over events of the class scores of the last task."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from msnas.chain.output import Binary, Classes
from msnas.evaluation.applied import Applied

SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)


def scores_of(one: Applied) -> Float[np.ndarray, "event class"] | None:
    """Probability of each class (of two classes, the second); None if events are not classified."""
    output = one.last.output
    if not isinstance(output, Binary | Classes) or len(output.shape) > isinstance(output, Classes):
        return None
    finished = one.last.scored(one.output(len(one.path) - 1))
    values: np.ndarray = output.prediction(finished).double().cpu().numpy()
    return values.reshape(len(values), -1)


def distribution(one: Applied, other: Applied | None = None) -> dict[str, dict[str, Any]]:
    """Quantiles of the score of each class over all events, by class.

    With `other`, also the Kolmogorov-Smirnov distance to the scores of `other`: the largest
    difference of the distribution functions.
    """
    scores = scores_of(one)
    if scores is None:
        return {}
    told: dict[str, dict[str, Any]] = {}
    first = 1 if scores.shape[1] == 1 else 0
    others = None if other is None else scores_of(other)
    for place, values in enumerate(scores.T):
        numbers: dict[str, Any] = {
            "quantiles": {str(share): float(np.quantile(values, share)) for share in SHARES}
        }
        if others is not None:
            numbers["distance"] = distance(values, others[:, place])
        told[str(first + place)] = numbers
    return told


def distance(some: Float[np.ndarray, " event"], others: Float[np.ndarray, " other"]) -> float:
    """The Kolmogorov-Smirnov distance of two samples.

    >>> distance(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.5, 2.5, 3.5, 4.5]))
    0.25
    """
    from scipy import stats  # a second to import: only where it is needed

    return float(stats.ks_2samp(some, others, method="asymp").statistic)
