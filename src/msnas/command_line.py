"""Typed ``key=value`` command line, shared by every ``python -m msnas.<command>``.

A command declares its keys as a dataclass; the annotation is the type, the default is the
default, ``omegaconf.MISSING`` makes a key mandatory, ``metadata={"help": ...}`` is its help:

>>> from dataclasses import dataclass, field
>>> @dataclass
... class Settings:
...     out: str = field(default=MISSING, metadata={"help": "file to write"})
...     chunk: int = field(default=500, metadata={"help": "events read at a time"})
>>> parse(["out=a.h5", "chunk=20"], Settings, program="example", description="An example.")
Settings(out='a.h5', chunk=20)
"""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Sequence
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    T = TypeVar("T", bound=DataclassInstance)

HELP_WORDS = ("--help", "-h")

WORDS = {str: "text", int: "integer", float: "number", bool: "true | false"}
"""Types in words."""


def parse(arguments: Sequence[str], schema: type[T], *, program: str, description: str) -> T:
    """Turn ``key=value`` words into an instance of ``schema``.

    ``program`` is what the user types before the keys, ``description`` the first lines of the
    help. Values may be str, int, float, bool, an Enum (by name), a list of these
    (``key=a,b`` or ``key=[a,b]``), or one of these or null. Text is taken literally: no
    quoting, no interpolation.

    Raises:
        SystemExit: code 0 after ``--help`` or ``-h``; code 2, with one line on standard error,
            for a word without ``=``, an unknown, repeated or missing key, or a wrong type.

    """
    kinds = typing.get_type_hints(schema)
    if Path(sys.argv[0]).name == "msnas":
        program = program.replace("python -m msnas.", "msnas ")
    if any(word in HELP_WORDS for word in arguments):
        sys.stdout.write(_help(schema, kinds, program=program, description=description))
        raise SystemExit(0)
    keys = ", ".join(kinds)
    config = OmegaConf.structured(schema)
    given: list[str] = []
    for word in arguments:
        key, separator, text = word.partition("=")
        if not separator:
            _refuse(f"{word!r} is not of the form key=value; keys are {keys}", program)
        if key not in kinds:
            near = get_close_matches(key, kinds, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            _refuse(f"{key}: unknown key{hint}; keys are {keys}", program)
        if key in given:
            _refuse(f"{key}: given more than once, last as {text!r}; give it once", program)
        if "${" in text:
            _refuse(f"{key}: found {text!r}; '${{' is not allowed in a value", program)
        given.append(key)
        try:
            config[key] = _read(text, kinds[key])
        except OmegaConfBaseException:
            _refuse(f"{key}: found {text!r}, allowed: {_describe(kinds[key])}", program)
    if missing := [key for key in kinds if OmegaConf.is_missing(config, key)]:
        wanted = ", ".join(f"{key}=<{_describe(kinds[key])}>" for key in missing)
        _refuse(
            f"{', '.join(missing)}: required but missing; "
            f"found {', '.join(given) or 'no key'}; add {wanted}",
            program,
        )
    settings = OmegaConf.to_object(config)
    assert isinstance(settings, schema)
    return settings


def parse_with_conditions(
    arguments: Sequence[str], schema: type[T], *, program: str, description: str
) -> tuple[T, dict[str, str]]:
    """Like `parse`, with apart the words that give values of a run's conditioning or shifts.

    Their keys are `task_weight` and all keys with a dot; the caller checks which a run knows.
    """
    known = [item.name for item in dataclasses.fields(schema)]
    own, others = [], {}
    for word in arguments:
        key, separator, text = word.partition("=")
        if separator and key not in known and (key == "task_weight" or "." in key):
            if key in others:
                _refuse(f"{key}: given more than once", program)
            others[key] = text
        else:
            own.append(word)
    help_text = (
        f"{description}\n\nFor a conditioned run also task_weight=<v1> or "
        "tasks.<task>.loss.<parameter>=<value>; the run's own values by default."
    )
    return parse(own, schema, program=program, description=help_text), others


def _refuse(message: str, program: str) -> NoReturn:
    """Print one line on standard error and exit with code 2."""
    sys.stderr.write(f"error: {' '.join(message.split())} (help: {program} --help)\n")
    raise SystemExit(2)


def _split_optional(kind: Any) -> tuple[Any, bool]:
    """``int | None`` -> (int, True); ``int`` -> (int, False)."""
    if typing.get_origin(kind) is types.UnionType:
        return typing.get_args(kind)[0], True
    return kind, False


def _read(text: str, kind: Any) -> str | list[str] | None:
    """Split lists and recognise null; the conversion to the type is left to OmegaConf."""
    kind, optional = _split_optional(kind)
    if optional and text == "null":
        return None
    if typing.get_origin(kind) is list:
        inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
        return [item.strip() for item in inner.split(",")] if inner.strip() else []
    return text


def _describe(kind: Any) -> str:
    """Put the allowed values in words."""
    kind, optional = _split_optional(kind)
    if typing.get_origin(kind) is list:
        words = f"list of {_describe(typing.get_args(kind)[0])}, as a,b"
    elif issubclass(kind, Enum):
        words = " | ".join(member.name for member in kind)
    else:
        words = WORDS[kind]
    return f"{words} | null" if optional else words


def _typed(value: Any) -> str:
    """Write a value as it is typed on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, list):
        return f"[{','.join(_typed(item) for item in value)}]"
    return str(value)


def _help(
    schema: type[DataclassInstance], kinds: dict[str, Any], *, program: str, description: str
) -> str:
    """Compose the description, then each key with its type, default and help text."""
    lines = [f"usage: {program} key=value ...", "", description.strip(), "", "keys:"]
    defaults = OmegaConf.to_container(OmegaConf.structured(schema))
    assert isinstance(defaults, dict)
    for item in dataclasses.fields(schema):
        value = defaults[item.name]
        default = "required" if value == MISSING else f"default {_typed(value)}"
        lines.append(f"  {item.name}  ({_describe(kinds[item.name])}; {default})")
        if "help" in item.metadata:
            lines.append(f"      {item.metadata['help']}")
    return "\n".join(lines) + "\n"
