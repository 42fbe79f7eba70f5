"""Fields: how one named array of raw events is encoded as a tensor for the networks.

A field checks the raw values, learns its scales from the training part only, and encodes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from msnas.data.checks import NUMBERS, finite
from msnas.data.compact import in_pieces
from msnas.errors import DataError
from msnas.momentum import decode_pt, encode_pt, turn_back
from msnas.part import Part


class Field(Part, ABC):
    """One named array of the events: its shape per event, its checks and its encoding."""

    compact: ClassVar[bool] = False
    """Whether `check` and `fit` also take a `Sparse` array (they read it by `in_pieces`)."""

    def __init__(self, *, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)

    def check(self, name: str, raw: np.ndarray, *, where: str) -> None:
        """Raise DataError unless `raw` [event, *shape] is numeric, finite and not empty."""
        if raw.shape[1:] != self.shape or not raw.shape:
            raise DataError(
                f"{where}: {name}: found shape {list(raw.shape)}, "
                f"expected [event{''.join(f', {size}' for size in self.shape)}]"
            )
        if not len(raw):
            raise DataError(f"{where}: {name}: holds no event")
        if raw.dtype.kind not in NUMBERS:
            raise DataError(f"{where}: {name}: found type {raw.dtype}, expected numbers")
        good = [finite(one).reshape(len(one), -1).all(1) for one in in_pieces(raw)]
        if len(bad := np.flatnonzero(~np.concatenate(good))):
            raise DataError(
                f"{where}: {name}: found NaN or infinity in {len(bad)} events "
                f"(first: event {bad[0]}), expected finite numbers (as float32)"
            )

    def fit(self, raw: np.ndarray) -> None:
        """Learn scales from the raw values [event, *shape] of the training part."""

    @abstractmethod
    def encode(self, raw: np.ndarray) -> Tensor:
        """Tensor [event, *shape] from raw values."""

    def decode(self, encoded: Tensor) -> Tensor:
        """Raw values from a tensor [event, *shape]."""
        return encoded

    def turn_back(self, encoded: Tensor, turn: Tensor) -> Tensor:
        """Transform encoded values from the events' frame back to the detector's frame."""
        return encoded

    def scales(self) -> dict[str, list[float]]:
        """The learnt scales, to be stored with a trained chain."""
        return {}

    def restore(self, scales: dict[str, list[float]]) -> None:
        """Set the scales to those that `scales` returned, instead of learning them."""
        if scales:
            raise DataError(f"{type(self).__name__} has no scales, found {sorted(scales)}")


@final
class Numbers(Field):
    """Numbers that are not scaled, as float32."""

    compact = True

    def encode(self, raw: np.ndarray) -> Tensor:
        """The raw values as float32."""
        return torch.from_numpy(np.ascontiguousarray(raw, dtype=np.float32))


@final
class ClassLabel(Field):
    """A class label per event, or several labels: integers from 0 to `classes` - 1."""

    def __init__(self, *, classes: int, shape: Sequence[int] = ()) -> None:
        super().__init__(shape=shape)
        self.classes = classes

    def check(self, name: str, raw: np.ndarray, *, where: str) -> None:
        """Also raise DataError for a value that is not a class, and for a class without events."""
        super().check(name, raw, where=where)
        values = np.unique(raw)
        expected = list(range(self.classes))
        if not np.isin(values, expected).all():
            raise DataError(f"{where}: {name}: found values {values[:8]}, expected {expected}")
        if len(values) < self.classes:
            raise DataError(
                f"{where}: {name}: found only class {values.tolist()}, "
                f"expected every one of {expected}"
            )

    def encode(self, raw: np.ndarray) -> Tensor:
        """The classes as int64."""
        return torch.from_numpy(raw.astype(np.int64))


class _PtFirst(Field):
    """Base of momenta whose first component is pT [GeV]."""

    def check(self, name: str, raw: np.ndarray, *, where: str) -> None:
        """Also raise DataError for a negative pT."""
        super().check(name, raw, where=where)
        if (lowest := float(raw[..., 0].min(initial=0.0))) < 0:
            raise DataError(f"{where}: {name}: found pT {lowest} GeV, expected pT >= 0")

    def turn_back(self, encoded: Tensor, turn: Tensor) -> Tensor:
        """The momenta, rotated and mirrored back to the detector's frame."""
        return turn_back(encoded, turn)


@final
class TauMomentum(_PtFirst):
    """Encodes (pT [GeV], eta, phi) as (log(0.1 + pT/GeV), eta, phi) (paper, section 4.2)."""

    def encode(self, raw: np.ndarray) -> Tensor:
        """Encoded momenta [event, ..., 3]."""
        momentum = torch.from_numpy(raw.astype(np.float32))
        momentum[..., 0] = encode_pt(momentum[..., 0])
        return momentum

    def decode(self, encoded: Tensor) -> Tensor:
        """(pT [GeV], eta, phi)."""
        return torch.cat((decode_pt(encoded[..., :1]), encoded[..., 1:]), -1)


@final
class JetMomentum(_PtFirst):
    """Encodes (pT [GeV], eta, phi, m [GeV]) as (log(0.1 + pT/GeV), eta, phi, m / std of m)."""

    mass_scale: float = math.nan

    def fit(self, raw: np.ndarray) -> None:
        """Learn the standard deviation of the mass [GeV] (1 if all masses are equal)."""
        self.mass_scale = float(raw[..., 3].std(dtype=np.float64)) or 1.0

    def encode(self, raw: np.ndarray) -> Tensor:
        """Encoded momenta [event, ..., 4]."""
        momentum = torch.from_numpy(raw.astype(np.float32))
        momentum[..., 0] = encode_pt(momentum[..., 0])
        momentum[..., 3] /= self.mass_scale
        return momentum

    def decode(self, encoded: Tensor) -> Tensor:
        """(pT [GeV], eta, phi, m [GeV])."""
        mass = encoded[..., 3:] * self.mass_scale
        return torch.cat((decode_pt(encoded[..., :1]), encoded[..., 1:3], mass), -1)

    def scales(self) -> dict[str, list[float]]:
        """The mass scale."""
        return {"mass": [self.mass_scale]}

    def restore(self, scales: dict[str, list[float]]) -> None:
        """Set the mass scale."""
        (self.mass_scale,) = scales["mass"]


@final
class LogPixels(Field):
    """Encodes pixels [GeV] of images [..., channel, row, column] as log(1 + pixel) / scale.

    The scale of a channel is the standard deviation of log(1 + pixel) over its non-empty pixels.
    """

    compact = True
    channel_scales: Sequence[float] = ()

    def check(self, name: str, raw: np.ndarray, *, where: str) -> None:
        """Also raise DataError for a negative pixel."""
        super().check(name, raw, where=where)
        if (lowest := min(float(one.min(initial=0.0)) for one in in_pieces(raw))) < 0:
            raise DataError(f"{where}: {name}: found a pixel of {lowest} GeV, expected >= 0")

    def fit(self, raw: np.ndarray) -> None:
        """Learn one scale per channel (1 for a channel without two different pixels)."""
        pixels: list[list[np.ndarray]] = [[] for _ in range(self.shape[-3])]
        for piece in in_pieces(raw):
            for channel, own in enumerate(pixels):
                values = piece[..., channel, :, :]
                own.append(values[values > 0])
        self.channel_scales = []
        for own in pixels:
            filled = np.log1p(np.concatenate(own).astype(np.float64))
            self.channel_scales.append(float(filled.std()) or 1.0 if len(filled) else 1.0)

    def encode(self, raw: np.ndarray) -> Tensor:
        """Scaled images [event, ..., channel, row, column]."""
        images = torch.from_numpy(raw.astype(np.float32)).log1p_()
        return images.div_(torch.tensor(self.channel_scales).view(-1, 1, 1))

    def decode(self, encoded: Tensor) -> Tensor:
        """Pixels [GeV]."""
        return torch.expm1(encoded * torch.tensor(self.channel_scales).view(-1, 1, 1))

    def scales(self) -> dict[str, list[float]]:
        """The scale of each channel."""
        return {"channels": list(self.channel_scales)}

    def restore(self, scales: dict[str, list[float]]) -> None:
        """Set the scale of each channel."""
        self.channel_scales = scales["channels"]
