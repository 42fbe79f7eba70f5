"""An energy scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np

from msnas.data.fields import Field
from msnas.shifts.shift import Shift, check_entries, floating, scaled


@final
class Scale(Shift):
    """Scales some `entries` along an `axis` of a field together; axes count from the last.

    `size` is relative: .03 is times 1.03 (up), or divided by it (down). For jets [..., (pT, eta,
    phi, m)] pT and m scale the momentum as a whole; for images [..., channel, eta, phi] a channel
    is the energy that one detector measures.
    """

    def __init__(self, *, field: str, size: float, entries: Sequence[int], axis: int = -1) -> None:
        super().__init__(field=field, size=size)
        self.entries = list(entries)
        self.axis = axis

    def check(self, fields: Mapping[str, Field], *, key: str) -> None:
        """Raise ConfigError for an unknown field or entry."""
        super().check(fields, key=key)
        check_entries(self.entries, fields[self.field], axis=self.axis, key=key)

    def apply(self, raw: Mapping[str, np.ndarray], direction: float) -> dict[str, np.ndarray]:
        """Scale the entries (see `Shift.apply`)."""
        values = floating(raw[self.field])
        along = np.moveaxis(values, self.axis, 0)
        for entry in self.entries:
            along[entry] = scaled(along[entry], direction * self.size)
        return {**raw, self.field: values}
