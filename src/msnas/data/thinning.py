"""Thinning: events of one class are dropped from the training part to make that class rarer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from msnas.errors import ConfigError


def thin(label: np.ndarray, train: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """The indices `train` without some events of a class, so that it has a given share.

    `label` [event] are the classes of all events. `settings` are `class`, the class to thin, and
    `fraction`, its share of the remaining events. Of the class, n = fraction / (1 - fraction) times
    the number of all other events stay, rounded; with None all stay. They are the first n in the
    order of `train`, so the events of a smaller fraction are also among those of a larger fraction.

    Raises ConfigError for a class that does not occur, and for a fraction that is not a number in
    (0, 1], that needs more events of the class than there are, or that leaves none of them.
    """
    if settings.keys() != {"class", "fraction"}:
        raise ConfigError(f"data.thin: expected class and fraction, found {sorted(settings)}")
    rare, fraction = settings["class"], settings["fraction"]
    if label.ndim != 1:
        raise ConfigError(
            f"data.thin: needs one class per event, found shape {list(label.shape[1:])}"
        )
    classes = np.unique(label).tolist()
    if isinstance(rare, bool) or rare not in classes:
        raise ConfigError(f"data.thin.class: expected one of {classes}, found {rare!r}")
    if fraction is None:
        return train
    if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 < fraction <= 1:
        raise ConfigError(
            f"data.thin.fraction: expected a number above 0, at most 1, or null; found {fraction!r}"
        )
    of_class = label[train] == rare
    there, others = int(of_class.sum()), int((~of_class).sum())
    wanted = round(fraction / (1 - fraction) * others) if fraction < 1 else np.inf
    if wanted > there:
        raise ConfigError(
            f"data.thin.fraction: found {fraction}, but class {rare} makes up only "
            f"{there} of {there + others} training events; "
            f"at most {np.floor(there / (there + others) * 1e6) / 1e6}, or null for all"
        )
    if wanted < 1:
        raise ConfigError(
            f"data.thin.fraction: found {fraction}, which leaves no event of class {rare} beside "
            f"{others} others; at least {np.ceil(1 / (1 + others) * 1e6) / 1e6}"
        )
    kept: np.ndarray = train[~of_class | (of_class.cumsum() <= wanted)]
    return kept


def mixture_weights(label: np.ndarray, train: np.ndarray) -> np.ndarray:
    """One weight (float32, mean 1) per event: its class's share in `train` over its own share.

    With these weights a mean over the events of `label` is a mean over the mixture of `train`.
    Without them the validation loss would favour epochs biased towards the thinned class.

    >>> mixture_weights(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1])).tolist()
    [2.0, 0.6666666865348816, 0.6666666865348816, 0.6666666865348816]
    """
    classes, numbers = np.unique(label, return_inverse=True)
    own = np.bincount(numbers) / len(label)
    wanted = np.array([(train == one).mean() for one in classes])
    weights: np.ndarray = (wanted / own)[numbers].astype(np.float32)
    return weights
