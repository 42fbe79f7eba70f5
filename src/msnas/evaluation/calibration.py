"""Calibration of class probabilities: reliability, and a single temperature for all logits.

Guo et al. 2017 (arXiv 1706.04599). Division by a temperature keeps the order of the logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional

from msnas.chain.output import Binary
from msnas.evaluation.applied import Applied

BINS = 10
"""Number of bins of equal width, for the reliability and the calibration error."""

COLDEST, HOTTEST = -5.0, 5.0
"""Range in which the logarithm of the temperature is searched."""


Logits = Float[Tensor, "event class"]
Told = tuple[Logits, Integer[Tensor, " event"]]
"""Logits of the classes for each event, and the true class of each event."""


def calibration(valid: Sequence[Told], test: Sequence[Told]) -> dict[str, Any]:
    """Reliability and expected calibration error on test events, without and with a temperature.

    The temperature minimises the cross entropy of the validation events. Both sets of events are
    given in pieces, such as the folds of a cross-fitted run.
    """
    temperature = best_temperature(*_joined(valid))
    logits, classes = _joined(test)
    return {
        "temperature": temperature,
        "as it is": told(logits, classes),
        "at the temperature": told(logits / temperature, classes),
    }


def logits_of(one: Applied) -> Told:
    """Logits and true classes of the last task, which classifies events."""
    logits = one.last.scored(one.output(len(one.path) - 1)).detach().double().cpu()
    if isinstance(one.last.output, Binary):
        logits = torch.stack((torch.zeros_like(logits), logits), 1)
    return logits, one.events[one.last.target].long().cpu()


def _joined(pieces: Sequence[Told]) -> Told:
    logits, classes = zip(*pieces, strict=True)
    return torch.cat(logits), torch.cat(classes)


def best_temperature(logits: Logits, classes: Integer[Tensor, " event"]) -> float:
    """The temperature that minimises the cross entropy."""

    def loss(logarithm: float) -> float:
        return float(functional.cross_entropy(logits / np.exp(logarithm), classes))

    from scipy import optimize  # a second to import: only where it is needed

    found = optimize.minimize_scalar(loss, bounds=(COLDEST, HOTTEST), method="bounded")
    return float(np.exp(found.x))


def told(logits: Logits, classes: Integer[Tensor, " event"]) -> dict[str, Any]:
    """Cross entropy, calibration error and reliability: how often the likeliest class is right.

    In bins of the likeliest class's probability; the error is the mean of |probability - right|.
    """
    probability, chosen = logits.softmax(1).max(1)
    right = (chosen == classes).double()
    places = (probability * BINS).long().clamp(max=BINS - 1)
    rows = []
    for place in np.unique(places.numpy()).tolist():
        own = places == place
        rows.append(
            {
                "events": int(own.sum()),
                "probability": float(probability[own].mean()),
                "right": float(right[own].mean()),
            }
        )
    error = sum(row["events"] * abs(row["probability"] - row["right"]) for row in rows)
    return {
        "cross_entropy": float(functional.cross_entropy(logits, classes)),
        "error": error / len(classes),
        "reliability": rows,
    }
