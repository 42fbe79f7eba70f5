"""Bounds on physical values: a number beyond is in a wrong unit, or marks a missing value."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from msnas.data.compact import Compact, in_pieces
from msnas.data.fields import Field, JetMomentum, LogPixels, TauMomentum
from msnas.errors import DataError

MOST_ENERGY = 1e5
"""[GeV], twice the energy of the beams of any collider that is planned."""

MOST_ETA = 20.0
"""Beyond this eta a particle of 1 GeV has more energy than `MOST_ENERGY`."""

MOST_PHI = 2 * np.pi
"""[rad], enough for angles from -pi to pi and for angles from 0 to 2 pi."""

MOMENTUM = {"pT [GeV]": MOST_ENERGY, "eta": MOST_ETA, "phi [rad]": MOST_PHI, "m [GeV]": MOST_ENERGY}

BOUNDS: Mapping[type[Field], Mapping[str, float]] = {
    TauMomentum: MOMENTUM,
    JetMomentum: MOMENTUM,
    LogPixels: {"pixel [GeV]": MOST_ENERGY},
}
"""Largest absolute value of each component along the last axis, or of all values if only one."""


def check_bounds(name: str, raw: Compact, field: Field, *, where: str) -> None:
    """Raise DataError, naming data, key, found and expected, for a value beyond its bound."""
    bounds = BOUNDS.get(type(field), {})
    first = 0
    for piece in in_pieces(raw) if bounds else ():
        for index, (component, most) in enumerate(bounds.items()):
            values = piece if len(bounds) == 1 else piece[..., index : index + 1]
            size = np.abs(values).reshape(len(values), -1).max(1, initial=0.0)
            if (largest := size.max()) > most:
                raise DataError(
                    f"{where}: {name}: found {component} {largest:g} (event "
                    f"{first + size.argmax()}), expected at most {most:g}; is it in another unit?"
                )
        first += len(piece)
