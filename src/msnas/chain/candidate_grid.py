"""Candidates that differ only in hyper-parameters, or are copies. Imports no PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import product
from typing import Any

from msnas.errors import ConfigError


def expand_grids(candidates: Mapping[str, Any], *, key: str) -> dict[str, Any]:
    """Replace every candidate that has a `grid` by one candidate per point of the grid.

    A grid maps parameters to lists of values. The name of a point is the candidate's name with the
    values appended. Choosing hyper-parameters then means choosing a candidate. Raises ConfigError,
    naming `key`, for a grid without values or with equal points.

    >>> grid = {"width": 8, "grid": {"kernel": [2, 3]}}
    >>> expand_grids({"cnn": grid}, key="candidates")
    {'cnn_2': {'width': 8, 'kernel': 2}, 'cnn_3': {'width': 8, 'kernel': 3}}
    """
    expanded: dict[str, Any] = {}
    for name, config in candidates.items():
        grid = config.get("grid")
        if grid is None:
            expanded[name] = config
            continue
        if not isinstance(grid, Mapping) or not all(
            isinstance(values, list) and values for values in grid.values()
        ):
            raise ConfigError(f"{key}.{name}.grid: expected lists of values, found {grid}")
        if both := sorted(grid.keys() & config.keys()):
            raise ConfigError(f"{key}.{name}: {both[0]!r} is given beside and inside the grid")
        rest = {item: value for item, value in config.items() if item != "grid"}
        for point in product(*grid.values()):
            own = "_".join([name, *map(_word, point)])
            if own in expanded or own in candidates:
                raise ConfigError(f"{key}.{name}.grid: two candidates would be called {own!r}")
            expanded[own] = {**rest, **dict(zip(grid, point, strict=True))}
    return expanded


def copy_candidates(candidates: Mapping[str, Any], *, copies: int, key: str) -> dict[str, Any]:
    """Each candidate `copies` times: under its own name, then as `<name>_copy2` and so on.

    Copies share no weights: each has its own seeds of initial weights and training (paper, Fig. 7).
    Raises ConfigError, naming `key`, if a name is taken.

    >>> copy_candidates({"cnn": {"width": 8}}, copies=2, key="candidates")
    {'cnn': {'width': 8}, 'cnn_copy2': {'width': 8}}
    """
    copied = dict(candidates)
    for number in range(2, copies + 1):
        for name, config in candidates.items():
            if (own := f"{name}_copy{number}") in copied:
                raise ConfigError(f"{key}: candidate_copies={copies} would make {own!r} twice")
            copied[own] = copy.deepcopy(config)
    return copied


def _word(value: Any) -> str:
    """A value as part of a candidate's name: `p` for a decimal point, dashes between numbers."""
    if isinstance(value, list):
        return "-".join(map(_word, value))
    return str(value).replace(".", "p")
