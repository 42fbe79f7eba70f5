"""The validation numbers that a chain may be selected by."""

from __future__ import annotations

import math

from msnas.chain.chain import Chain
from msnas.errors import ConfigError
from msnas.evaluation.evaluate import ChainScore
from msnas.evaluation.variable_metric import VariableMetric

WORST_CASE = "worst_case"
"""Selects by the largest of the losses on unshifted events and under each shift."""

MEASUREMENT = "measurement"
"""Selects by the expected uncertainty of the signal strength."""


def higher_is_better(chain: Chain, name: str, *, key: str) -> bool:
    """Whether higher is better for the validation number `name`, a loss or `<task>/<metric>`.

    Raises ConfigError, naming `key`, for a number that is not measured.
    """
    directions = {"loss": False, WORST_CASE: False, MEASUREMENT: False}
    for task in chain.supervised():
        directions[f"{task.name}/loss"] = False
        for metric, one in task.metrics.items():
            if one.higher_is_better is not None and not isinstance(one, VariableMetric):
                directions[f"{task.name}/{metric}"] = one.higher_is_better
    if name not in directions:
        raise ConfigError(f"{key}: {name!r} is not measured; allowed are {list(directions)}")
    return directions[name]


def number_of(score: ChainScore, name: str) -> float:
    """The validation number `name` of a chain."""
    if name == "loss":
        return score.ranked_by
    if name == MEASUREMENT:
        return math.inf if score.sigma is None else score.sigma
    return score.worst if name == WORST_CASE else float(score.values[name])
