"""The energy scale of taus, by how they decay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np

from msnas.data.fields import Field
from msnas.shifts.shift import Shift, check_entries, floating, scaled

MOMENTUM = (0, 3)
"""PT and mass: scaling both scales the momentum as a whole."""


@final
class TauEnergyScale(Shift):
    """Scales the jets (pT, eta, phi, m) that are taus with a given number of charged hadrons.

    `size` is relative: .03 is times 1.03 (up), or divided by it (down). `decays` is the array
    [event, jet, (charged hadrons, neutral pions)], 0 for jets that are no tau; taus with numbers in
    `charged` and `neutral` (None: any) are scaled. Jets are ordered by pT: where the shift changes
    their order, the arrays in `along`, as far as given, are reordered alike.
    """

    def __init__(
        self,
        *,
        field: str,
        size: float,
        decays: str,
        charged: Sequence[int],
        neutral: Sequence[int] | None = None,
        along: Sequence[str] = (),
    ) -> None:
        super().__init__(field=field, size=size)
        self.decays = decays
        self.charged = list(charged)
        self.neutral = None if neutral is None else list(neutral)
        self.along = tuple(along)

    @property
    def also(self) -> tuple[str, ...]:
        """The name of the array of decays."""
        return (self.decays,)

    def check(self, fields: Mapping[str, Field], *, key: str) -> None:
        """Raise ConfigError unless the field has momenta of several jets."""
        super().check(fields, key=key)
        check_entries([0], fields[self.field], axis=-2, key=key, name="field")
        check_entries(MOMENTUM, fields[self.field], axis=-1, key=key, name="field")

    def apply(self, raw: Mapping[str, np.ndarray], direction: float) -> dict[str, np.ndarray]:
        """Scale, and sort the jets by pT again where their order has changed."""
        decay = raw[self.decays]
        chosen = np.isin(decay[..., 0], self.charged)
        if self.neutral is not None:
            chosen &= np.isin(decay[..., 1], self.neutral)
        jets = floating(raw[self.field])
        for entry in MOMENTUM:
            values = jets[..., entry]
            jets[..., entry] = np.where(chosen, scaled(values, direction * self.size), values)
        before, after = (
            np.argsort(-one[..., 0], axis=-1, kind="stable") for one in (raw[self.field], jets)
        )
        shifted = {**raw, self.field: jets}
        rows = np.flatnonzero((before != after).any(-1))
        for name in (self.field, self.decays, *self.along) if len(rows) else ():
            if name in shifted:
                shifted[name] = shifted[name].copy()
                shifted[name][rows] = shifted[name][rows[:, None], after[rows]]
        return shifted
