"""Energy in pixels that has nothing to do with the jet, as from more pile-up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import final

import numpy as np

from msnas.data.fields import Field
from msnas.errors import ConfigError
from msnas.kinds import is_number
from msnas.shifts.shift import Shift, check_entries, floating

CHUNK = 500
"""Number of events whose random numbers are in memory at a time."""

STEP, FIRST, SECOND = (
    np.uint64(one) for one in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
"""Constants of the generator SplitMix64 (Steele, Lea and Flood 2014)."""


@final
class PixelNoise(Shift):
    """A `share` of the pixels of some `channels` get energy: exponential, of mean `size` [GeV].

    The shift down removes the same energy, at most all of a pixel's. The field is [..., channel,
    row, column]. The random numbers depend on `seed` and on the event's values of the field
    `drawn_by` (such as the jets): an event has the same noise at any place in a file.
    """

    def __init__(
        self,
        *,
        field: str,
        size: float,
        share: float,
        channels: Sequence[int],
        drawn_by: str,
        seed: int = 0,
    ) -> None:
        super().__init__(field=field, size=size)
        if not is_number(share) or not 0 <= share <= 1:
            raise ValueError(f"share: expected a number from 0 to 1, found {share!r}")
        self.share = share
        self.channels = list(channels)
        self.drawn_by = drawn_by
        self.seed = seed

    def check(self, fields: Mapping[str, Field], *, key: str) -> None:
        """Raise ConfigError for an unknown field or channel."""
        super().check(fields, key=key)
        check_entries(self.channels, fields[self.field], axis=-3, key=key, name="channels")
        if self.drawn_by not in fields or self.drawn_by == self.field:
            others = sorted(set(fields) - {self.field})
            raise ConfigError(
                f"{key}.drawn_by: {self.drawn_by!r} is no other field; expected one of {others}"
            )

    def apply(self, raw: Mapping[str, np.ndarray], direction: float) -> dict[str, np.ndarray]:
        """Add the energy, or remove it (see `Shift.apply`)."""
        values = floating(raw[self.field])
        for rows in _chunks(len(values)):
            pixels = values[rows][..., self.channels, :, :]
            keys = _keys(raw[self.drawn_by][rows], self.seed)
            draws = _uniform(keys, pixels[0].size).reshape(pixels.shape)
            hit = np.nonzero(draws < self.share)
            # a draw below the share, divided by the share, is uniform again
            energy = -self.size * np.log1p(-draws[hit] / max(self.share, 1e-300))
            moved = pixels[hit] + direction * energy.astype(values.dtype)
            pixels[hit] = np.maximum(moved, 0) if direction < 0 else moved
            values[rows][..., self.channels, :, :] = pixels
        return {**raw, self.field: values}


def _chunks(events: int) -> Iterator[slice]:
    for start in range(0, events, CHUNK):
        yield slice(start, start + CHUNK)


def _mixed(state: np.ndarray) -> np.ndarray:
    """Turn 64 bits into 64 bits that look random."""
    state = (state ^ (state >> np.uint64(30))) * FIRST
    state = (state ^ (state >> np.uint64(27))) * SECOND
    mixed: np.ndarray = state ^ (state >> np.uint64(31))
    return mixed


def _keys(values: np.ndarray, seed: int) -> np.ndarray:
    """64 bits for each event, from its values and the seed."""
    words = np.ascontiguousarray(values, np.float32).reshape(len(values), -1).view(np.uint32)
    keys = np.full(len(words), seed, np.uint64)
    for column in words.T:
        keys = _mixed((keys ^ column) + STEP)
    return keys


def _uniform(keys: np.ndarray, count: int) -> np.ndarray:
    """`count` uniform numbers in [0, 1) for each key, [key, count]."""
    states = keys[:, None] + STEP * np.arange(1, count + 1, dtype=np.uint64)
    uniform: np.ndarray = (_mixed(states) >> np.uint64(11)) * 2.0**-53
    return uniform
