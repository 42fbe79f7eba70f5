"""Parameters of losses: one number, or a number for every event."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from msnas.errors import ConfigError

Parameter = float | Float[Tensor, " event"]


def check_parameter(
    value: Parameter,
    *,
    key: str,
    low: float = 0.0,
    high: float = math.inf,
    low_allowed: bool = True,
) -> None:
    """Raise ConfigError, naming `key`, unless `value` (all of it) is finite and in the range."""
    if math.isinf(high):
        allowed = f"a finite number {'>=' if low_allowed else '>'} {low:g}"
    else:
        allowed = f"a number from {low:g} to {high:g}"
    if isinstance(value, bool) or not isinstance(value, int | float | Tensor):
        raise ConfigError(f"{key}: expected {allowed}, found {value!r}")
    values = torch.as_tensor(value, dtype=None if isinstance(value, Tensor) else torch.float64)
    above = values >= low if low_allowed else values > low
    wrong = values[~(above & (values <= high) & values.isfinite())].flatten()
    if len(wrong):
        of_events = f" in {len(wrong)} of {len(value)} events" if isinstance(value, Tensor) else ""
        raise ConfigError(f"{key}: expected {allowed}, found {float(wrong[0]):g}{of_events}")


def beside(value: Parameter, values: Float[Tensor, "event ..."]) -> Parameter:
    """A parameter in the type of `values`, shaped so that an event's own acts on all its values."""
    if not isinstance(value, Tensor):
        return value
    return value.to(values).reshape(-1, *[1] * (values.ndim - 1))
