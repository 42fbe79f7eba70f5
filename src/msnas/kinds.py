"""Kinds of values of settings: what is accepted, and the words for it in errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, PlainValidator, with_config
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from msnas.config import NAMED, is_name


def expected(words: str, accepts: Callable[[Any], bool]) -> PlainValidator:
    """A validator that returns a value unchanged; its error names what was expected in `words`."""

    def check(value: Any) -> Any:
        if not accepts(value):
            raise PydanticCustomError("expected", "{words}", {"words": words})
        return value

    return PlainValidator(check)


def whole(lowest: int, highest: float = math.inf) -> PlainValidator:
    """A whole number in a range."""
    range_ = f">= {lowest}" if math.isinf(highest) else f"from {lowest} to {highest}"
    return expected(
        f"a whole number {range_}",
        lambda value: type(value) is int and lowest <= value <= highest,
    )


def whole_or_null(lowest: int) -> PlainValidator:
    """A whole number from `lowest` on, or null."""
    return expected(
        f"a whole number >= {lowest} or null",
        lambda value: value is None or (type(value) is int and value >= lowest),
    )


def one_of(*options: object) -> PlainValidator:
    """One of the options."""
    return expected(
        f"one of {list(options)}",
        lambda value: any(type(value) is type(one) and value == one for one in options),
    )


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return type(value) in (int, float) and math.isfinite(value)


def is_list_of_text(value: Any) -> bool:
    """Whether a value is a list of texts."""
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _named(value: Any) -> Any:
    if not is_name(value):
        raise PydanticCustomError("name", "is no name")
    return value


Name = Annotated[str, PlainValidator(_named)]
NameOrNull = Annotated[
    str | int | None,
    expected(
        f"null or a name of {NAMED}",
        lambda value: value is None or (type(value) in (str, int) and is_name(str(value))),
    ),
]
Text = Annotated[str, expected("text", lambda value: isinstance(value, str))]
TextOrNull = Annotated[
    str | None, expected("text or null", lambda value: isinstance(value, str | None))
]
Texts = Annotated[list[str], expected("a list of names", is_list_of_text)]
Switch = Annotated[bool, expected("true or false", lambda value: isinstance(value, bool))]
Positive = Annotated[int, whole(1)]
AutoOrPositive = Annotated[
    int | str,
    expected(
        "auto or a whole number >= 1",
        lambda value: value == "auto" or (type(value) is int and value >= 1),
    ),
]
Seed = Annotated[int, whole(0)]
PositiveNumber = Annotated[
    float, expected("a number > 0", lambda value: is_number(value) and value > 0)
]
Sizes = Annotated[
    list[int],
    expected(
        "whole numbers > 0",
        lambda value: (
            isinstance(value, list) and all(type(one) is int and one > 0 for one in value)
        ),
    ),
]
Node = Annotated[
    dict[str, Any],
    expected(
        "a mapping with _target_", lambda value: isinstance(value, dict) and "_target_" in value
    ),
]


@with_config(ConfigDict(extra="allow"))
class Optimizer(TypedDict):
    """An optimiser and its arguments."""

    _target_: Text
    lr: NotRequired[PositiveNumber]
