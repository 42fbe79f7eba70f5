"""Areas under the ROC curves of several models on the same events. Imports no PyTorch."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Integer


def auc_covariance(
    scores: Float[np.ndarray, "model event"], label: Integer[np.ndarray, " event"]
) -> tuple[Float[np.ndarray, " model"], Float[np.ndarray, "model model"]]:
    """Areas under the ROC curves of several models on the same events, and their covariance.

    DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837. With the kernel
    psi(x, y) = 1 for x > y, 1/2 for x = y, 0 for x < y, an event of class 1 has the component
    V10 = mean of psi(its score, y) over events of class 0, an event of class 0 has V01 = mean of
    psi(x, its score) over events of class 1; the covariance is cov(V10) / n1 + cov(V01) / n0.
    The components come from the places of the scores among the sorted ones of the other class, in
    n log n.

    Raises ValueError for fewer than two events of a class.
    """
    positive, negative = scores[:, label == 1], scores[:, label == 0]
    ones, zeros = positive.shape[1], negative.shape[1]
    if min(ones, zeros) < 2:
        raise ValueError(f"needs two events of each class, found {ones} of 1 and {zeros} of 0")
    above = _below(positive, negative) / zeros
    below = 1 - _below(negative, positive) / ones
    covariance = np.atleast_2d(np.cov(above)) / ones + np.atleast_2d(np.cov(below)) / zeros
    return above.mean(1), covariance


def _below(
    scores: Float[np.ndarray, "model event"], others: Float[np.ndarray, "model other"]
) -> Float[np.ndarray, "model event"]:
    """How many of the other scores are below each score; equal ones count half."""
    found = np.empty(scores.shape)
    for place, (own, its) in enumerate(zip(scores, np.sort(others, axis=1), strict=True)):
        sides = [its.searchsorted(own, side) for side in ("left", "right")]
        found[place] = (sides[0] + sides[1]) / 2
    return found


def auc_contrast_error(
    scores: Float[np.ndarray, "model event"],
    label: Integer[np.ndarray, " event"],
    weights: Float[np.ndarray, " model"],
) -> float:
    """Standard error of sum_k weights_k AUC_k, such as a difference with the weights (1, -1)."""
    _, covariance = auc_covariance(scores, label)
    return float(np.sqrt(max(weights @ covariance @ weights, 0.0)))
