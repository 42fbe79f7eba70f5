"""Events under shifts, one shift at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, final

import numpy as np

from msnas.data.events import Batch, Events
from msnas.shifts.shift import Shift

DIRECTIONS = {"up": 1.0, "down": -1.0}


class ShiftPoint(NamedTuple):
    """A shift by name, and its direction."""

    shift: str
    direction: str

    @property
    def name(self) -> str:
        """The shift and its direction in words."""
        return f"{self.shift} {self.direction}"


@final
class ShiftedEvents:
    """Parts of the data with their raw events shifted, then put in the frame and scaled as usual.

    Nothing is learnt from shifted events: scales are those of the unshifted training part. The raw
    events of a part stay in memory, shifted events do not. Raises ConfigError for a shift that does
    not fit the fields.
    """

    def __init__(self, events: Events, shifts: Mapping[str, Shift]) -> None:
        for name, shift in shifts.items():
            shift.check(events.fields, key=f"shifts.{name}")
        self.events = events
        self.shifts = dict(shifts)
        self._raw: dict[str, dict[str, np.ndarray]] = {}

    @property
    def points(self) -> list[ShiftPoint]:
        """Every shift, up and down."""
        return [ShiftPoint(name, way) for name in self.shifts for way in DIRECTIONS]

    def size(self, point: ShiftPoint) -> float:
        """The size of the shift, with the sign of the direction."""
        return self.shifts[point.shift].size * DIRECTIONS[point.direction]

    def part(self, part: str, point: ShiftPoint) -> Batch:
        """The validation or test part under a shift."""
        if part not in self._raw:
            also = [name for shift in self.shifts.values() for name in shift.also]
            self._raw[part] = self.events.raw(part, also)
        shift = self.shifts[point.shift]
        raw = shift.apply(self._raw[part], DIRECTIONS[point.direction])
        for name, field in self.events.fields.items():
            if raw[name] is not self._raw[part][name]:
                field.check(name, raw[name], where=f"shifts.{point.shift}")
        return self.events.encoded(part, raw)
