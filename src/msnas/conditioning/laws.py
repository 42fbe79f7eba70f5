"""Laws by which a parameter of the loss is drawn while training.

Every law maps a coordinate u in [-1, 1] to a value of the parameter and back. In training u is
uniform; the network sees u, not the value.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from msnas.errors import ConfigError
from msnas.part import Part


class Law(Part, ABC):
    """One parameter's law; `points` are the values a run is judged at."""

    def __init__(self, *, points: Sequence[float]) -> None:
        if not points:
            raise ConfigError("conditioning.laws: points: expected at least one value, found none")
        self.points = [float(point) for point in points]
        for point in self.points:
            if not self.contains(point):
                raise ConfigError(f"conditioning.laws: points: {point:g} is outside {self.range()}")

    @abstractmethod
    def value(self, unit: Tensor) -> Tensor:
        """Values (float64) at coordinates `unit` in [-1, 1]."""

    @abstractmethod
    def limits(self) -> tuple[float, float]:
        """Smallest and largest value drawn."""

    @abstractmethod
    def _unit(self, value: float) -> float:
        """The coordinate of a value inside the limits."""

    def contains(self, value: float) -> bool:
        """Whether a value is inside the range drawn from (up to rounding)."""
        low, high = self.limits()
        return low - 1e-12 * abs(low) <= value <= high + 1e-12 * abs(high)

    def unit(self, value: float) -> float:
        """The coordinate of `value`; outside the range, the coordinate of the nearer end."""
        low, high = self.limits()
        return min(1.0, max(-1.0, self._unit(min(high, max(low, value)))))

    def range(self) -> str:
        """The range in words."""
        low, high = self.limits()
        return f"[{low:g}, {high:g}]"


def _check(low: float, high: float, *, lowest: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and lowest <= low < high):
        raise ConfigError(
            f"conditioning.laws: expected {lowest:g} <= low < high, found low={low}, high={high}"
        )


@final
class Uniform(Law):
    """Uniform from `low` to `high`."""

    def __init__(self, *, low: float, high: float, points: Sequence[float]) -> None:
        _check(low, high, lowest=-math.inf)
        self.low, self.high = float(low), float(high)
        super().__init__(points=points)

    def limits(self) -> tuple[float, float]:
        """`low` and `high`."""
        return self.low, self.high

    def value(self, unit: Tensor) -> Tensor:
        """Low + (high - low) (u + 1) / 2."""
        return self.low + (self.high - self.low) * (unit.double() + 1) / 2

    def _unit(self, value: float) -> float:
        return 2 * (value - self.low) / (self.high - self.low) - 1


@final
class LogUniform(Law):
    """Uniform in the logarithm, from `low` > 0 to `high` (Dosovitskiy & Djolonga 2020)."""

    def __init__(self, *, low: float, high: float, points: Sequence[float]) -> None:
        _check(low, high, lowest=math.ulp(0.0))
        self.low, self.high = float(low), float(high)
        super().__init__(points=points)

    def limits(self) -> tuple[float, float]:
        """`low` and `high`."""
        return self.low, self.high

    def value(self, unit: Tensor) -> Tensor:
        """Low (high / low)^((u + 1) / 2)."""
        share = (unit.double() + 1) / 2
        return torch.exp(math.log(self.low) * (1 - share) + math.log(self.high) * share)

    def _unit(self, value: float) -> float:
        return 2 * math.log(value / self.low) / math.log(self.high / self.low) - 1


@final
class LogOdds(Law):
    """A share v with log(v / (1 - v)) uniform between -log `limit` and log `limit`.

    Made for a task weight, as it treats v and 1 - v alike. 0 and 1 become the ends of the range.
    """

    def __init__(self, *, limit: float, points: Sequence[float]) -> None:
        if not (math.isfinite(limit) and limit > 1):
            raise ConfigError(f"conditioning.laws: limit: expected a number > 1, found {limit}")
        self.limit = float(limit)
        super().__init__(points=points)

    def limits(self) -> tuple[float, float]:
        """1 / (1 + limit) and limit / (1 + limit)."""
        return 1 / (1 + self.limit), self.limit / (1 + self.limit)

    def value(self, unit: Tensor) -> Tensor:
        """1 / (1 + limit^-u)."""
        return torch.sigmoid(unit.double() * math.log(self.limit))

    def _unit(self, value: float) -> float:
        return math.log(value / (1 - value)) / math.log(self.limit)


@final
class Constant(Law):
    """Always `value`: the conditioned network without anything to condition on, for comparison."""

    def __init__(self, *, value: float) -> None:
        self.constant = float(value)
        super().__init__(points=[self.constant])

    def limits(self) -> tuple[float, float]:
        """The value, twice."""
        return self.constant, self.constant

    def value(self, unit: Tensor) -> Tensor:
        """The value."""
        return torch.full_like(unit, self.constant, dtype=torch.float64)

    def _unit(self, value: float) -> float:
        return 0.0
