"""The settings of a measurement: luminosity, processes, bins. Imports no PyTorch."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from msnas.kinds import Name, Positive, PositiveNumber, Seed, Switch, expected, is_number, one_of
from msnas.settings import check_typed, closed

NotNegative = Annotated[
    float, expected("a number >= 0", lambda value: is_number(value) and value >= 0)
]

Process = TypedDict(
    "Process",
    {
        "class": Seed,
        "cross_section": PositiveNumber,
        "efficiency": PositiveNumber,
        "signal": NotRequired[Switch],
        "rates": NotRequired[dict[Name, NotNegative]],
    },
)
closed(Process)


@closed
class MeasurementSettings(TypedDict):
    """Luminosity [1/fb], cross sections [fb]; uncertainties are relative."""

    luminosity: PositiveNumber
    luminosity_uncertainty: NotNegative
    variable: Annotated[str, one_of("score", "mass")]
    bins: Positive
    processes: dict[Name, Process]


@closed
class _Whole(TypedDict):
    measurement: MeasurementSettings


_WHOLE = TypeAdapter(_Whole)


def check_measurement(settings: Any) -> None:
    """Raise ConfigError, naming the key, for settings that describe no measurement."""
    check_typed(_WHOLE, {"measurement": settings}, known=_Whole)
