"""How the records of result.json are typed: keys may be added, numbers are numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Strict, with_config
from typing_extensions import TypeAliasType, TypedDict, TypeIs

Number = Annotated[float, Strict()]

Values = TypeAliasType("Values", "dict[str, Number | Values]")
"""Numbers by name; a metric of several variables is a mapping itself."""

open_and_strict = with_config(ConfigDict(extra="allow", strict=True))


@open_and_strict
class Metrics(TypedDict):
    """The selected chain's numbers."""

    valid: Values
    test: Values


@open_and_strict
class FoldNumbers(Metrics):
    """Of one of several trainings, with the chain that it selected."""

    selected: dict[str, str]


@open_and_strict
class RefitNumbers(TypedDict):
    """The selected chain for use: with how many events it was trained, and its test numbers."""

    events: int
    test: Values


def is_number(value: Any) -> TypeIs[float]:
    """Whether it is one number, be it NaN; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def numbers_of(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers among `values`, those of inner mappings as `<outer>/<inner>`.

    >>> numbers_of({"stage": "search", "epoch": 0, "alpha": {"one": {"a": 0.5, "b": -0.5}}})
    {'epoch': 0, 'alpha/one/a': 0.5, 'alpha/one/b': -0.5}
    """
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= numbers_of(value, f"{prefix}{name}/")
        elif is_number(value):
            found[prefix + name] = value
    return found
