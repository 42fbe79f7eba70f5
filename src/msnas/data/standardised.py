"""A field of numbers of any unit and size, scaled to mean 0 and standard deviation 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor

from msnas.data.fields import Field
from msnas.errors import DataError


@final
class Standardised(Field):
    """Numbers minus their mean, divided by their standard deviation, for each component.

    Example:
        >>> price = Standardised()
        >>> price.fit(np.array([100.0, 300.0]))
        >>> price.encode(np.array([100.0, 400.0])).tolist()
        [-1.0, 2.0]
        >>> price.decode(torch.tensor([0.5])).tolist()
        [250.0]

    """

    mean: Sequence[float] = ()
    deviation: Sequence[float] = ()

    def __init__(self, *, shape: Sequence[int] = ()) -> None:
        super().__init__(shape=shape)

    def fit(self, raw: np.ndarray) -> None:
        """Learn mean and standard deviation (1 where all values are equal) of every component."""
        rows = raw.reshape(len(raw), -1)
        self.mean = rows.mean(0, dtype=np.float64).tolist()
        same = rows.min(0) == rows.max(0)
        self.deviation = np.where(same, 1.0, rows.std(0, dtype=np.float64)).tolist()

    def encode(self, raw: np.ndarray) -> Tensor:
        """Standardised numbers [event, *shape]."""
        mean, deviation = self._scales()
        return ((torch.from_numpy(raw.astype(np.float64)) - mean) / deviation).float()

    def decode(self, encoded: Tensor) -> Tensor:
        """The numbers in their own unit."""
        mean, deviation = (one.to(encoded.device) for one in self._scales())
        return (encoded * deviation + mean).float()

    def scales(self) -> dict[str, list[float]]:
        """Mean and standard deviation of each component."""
        return {"mean": list(self.mean), "deviation": list(self.deviation)}

    def restore(self, scales: dict[str, list[float]]) -> None:
        """Set mean and standard deviation; raise DataError for a wrong number of values."""
        sizes = {len(scales.get(name, ())) for name in ("mean", "deviation")}
        if sizes != {int(np.prod(self.shape))}:
            raise DataError(f"Standardised: scales of {sizes} numbers, expected {self.shape}")
        self.mean, self.deviation = scales["mean"], scales["deviation"]

    def _scales(self) -> tuple[Tensor, Tensor]:
        mean, deviation = (
            torch.tensor(one, dtype=torch.float64).view(self.shape)
            for one in (self.mean, self.deviation)
        )
        return mean, deviation
