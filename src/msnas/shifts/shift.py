"""The base class of shifts: ways in which raw events may differ in real data."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from msnas.data.fields import Field
from msnas.errors import ConfigError
from msnas.kinds import is_number
from msnas.part import Part


class Shift(Part, ABC):
    """A change of one `field` of raw events by `size`, whose unit depends on the class.

    A shift has two directions, up and down. The change of an event depends on that event alone.
    A shift may read arrays that the networks do not read: `also` names them.
    """

    def __init__(self, *, field: str, size: float) -> None:
        if not is_number(size) or not 0 <= size < math.inf:
            raise ValueError(f"size: expected a number >= 0, found {size!r}")
        self.field = field
        self.size = float(size)

    @property
    def also(self) -> tuple[str, ...]:
        """Names of the arrays that the shift reads beside the fields."""
        return ()

    def check(self, fields: Mapping[str, Field], *, key: str) -> None:
        """Raise ConfigError, naming `key`, unless the field exists and takes this shift."""
        if self.field not in fields:
            raise ConfigError(
                f"{key}.field: {self.field!r} is not a field; fields are {sorted(fields)}"
            )

    @abstractmethod
    def apply(self, raw: Mapping[str, np.ndarray], direction: float) -> dict[str, np.ndarray]:
        """A copy of the raw arrays [event, ...], shifted by `direction` times the size.

        Direction 0 changes no bit; 1 and then -1 give the arrays back, but for rounding.
        """


def scaled(values: np.ndarray, size: float) -> np.ndarray:
    """Numbers times 1 + size; for a negative size divided by 1 - size, which is its inverse.

    >>> scaled(np.array([100.0]), 0.25), scaled(np.array([100.0]), -0.25)
    (array([125.]), array([80.]))
    """
    factor = values.dtype.type(1 + abs(size))
    changed: np.ndarray = values / factor if size < 0 else values * factor
    return changed


def floating(values: np.ndarray) -> np.ndarray:
    """A copy of floating-point type."""
    return values.copy() if values.dtype.kind == "f" else values.astype(np.float32)


def check_entries(
    entries: Sequence[int], field: Field, *, axis: int, key: str, name: str = "entries"
) -> None:
    """Raise ConfigError unless `entries` are indices along an axis (from the end) of a field."""
    there = range(field.shape[axis]) if -len(field.shape) <= axis < 0 else range(0)
    if not entries or not set(entries) <= set(there):
        raise ConfigError(
            f"{key}.{name}: expected some of {list(there)} along axis {axis} of events of shape "
            f"{list(field.shape)}, found {list(entries)}"
        )
