"""Checks of raw arrays. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from msnas.errors import ConfigError, DataError

NUMBERS = "fiub"
"""Kinds of numpy types that are numbers: floating point, signed and unsigned integer, boolean."""

MOST_NAMES = 30
"""Largest number of names that an error message lists."""


def check_names(found: Collection[str], expected: Collection[str], *, where: str) -> None:
    """Raise DataError, naming data, key, found and expected, unless every name is there."""
    for name in expected:
        if name not in found:
            listed = sorted(found)
            more = f" and {len(listed) - MOST_NAMES} more" if len(listed) > MOST_NAMES else ""
            raise DataError(
                f"{where}: missing key {name!r}, expected {list(expected)}, "
                f"found {listed[:MOST_NAMES]}{more}"
            )


def check_batch(batch: int) -> None:
    """Raise ConfigError for a batch size below 1."""
    if batch < 1:
        raise ConfigError(f"batch: expected a whole number >= 1, found {batch}")


def finite(values: np.ndarray) -> np.ndarray:
    """Which numbers are finite as float32, the type in which networks compute.

    >>> finite(np.array([1.0, -3e38, 1e39, np.inf, np.nan])).tolist()
    [True, True, False, False, False]
    """
    if values.dtype.itemsize <= 4:
        within: np.ndarray = np.isfinite(values)
    else:
        within = np.abs(values) <= np.finfo(np.float32).max
    return within
