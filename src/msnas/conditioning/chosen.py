"""Values of the parameters that a run is conditioned on, as a user types them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product

from msnas.conditioning.conditioning import TASK_WEIGHT, Conditioning, Point
from msnas.errors import ConfigError


def chosen_points(
    conditions: Mapping[str, str], conditioning: Conditioning | None, own: Point | None
) -> list[Point]:
    """Every combination of the values in `conditions` (`a` or `a,b`), else the run's own values.

    Values outside the range of the training are moved into it, with a warning. Raises
    ConfigError for a key the run is not conditioned on, or a value that is no number, or no weight.
    """
    known = [one.key for one in conditioning.parameters] if conditioning else []
    for key in conditions:
        if key not in known:
            raise ConfigError(
                f"{key}: the run is not conditioned on it; allowed are {known}"
                if known
                else f"{key}: the run is not conditioned: it has one value, the one it was trained "
                "with; leave it out, or train with conditioning=yoto"
            )
    if conditioning is None or own is None:
        return []
    values = [_numbers(key, conditions[key]) if key in conditions else [own[key]] for key in known]
    return [conditioning.inside(dict(zip(known, point, strict=True))) for point in product(*values)]


def chosen_point(
    conditions: Mapping[str, str], conditioning: Conditioning | None, own: Point | None
) -> Point | None:
    """As `chosen_points`, for exactly one value of each parameter."""
    points = chosen_points(conditions, conditioning, own)
    if len(points) > 1:
        raise ConfigError(f"{', '.join(conditions)}: expected one value of each here")
    return points[0] if points else None


def _numbers(key: str, text: str) -> list[float]:
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"{key}: expected a number, or several as a,b; found {text!r}") from error
    if not all(math.isfinite(value) for value in values):
        raise ConfigError(f"{key}: expected finite numbers, found {text!r}")
    if key == TASK_WEIGHT and not all(0 <= value <= 1 for value in values):
        raise ConfigError(f"{key}: expected a number from 0 to 1, found {text!r}")
    return values
