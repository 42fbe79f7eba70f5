"""The runs of a scan: every combination of the values of its axes. Imports no PyTorch."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from msnas.errors import ConfigError
from msnas.settings import OF_A_SCAN

FASTEST = "seed"
"""The axis that varies fastest: runs side by side then seldom wait for a shared training."""


@dataclass(frozen=True)
class Axis:
    """A setting and its values, as overrides; `default` if no user or experiment asked for it."""

    name: str
    overrides: tuple[str, ...]
    default: bool = False


def make_axes(
    arguments: Sequence[str],
    *,
    params: Mapping[str, Any],
    default_params: Mapping[str, Any],
    parser: OverridesParser,
) -> list[Axis]:
    """The axes in order: defaults, an experiment's `params`, the command line's `arguments`.

    A later axis replaces an earlier axis of the same key. Raises ConfigError, naming the key, for
    an axis without values, or a setting of the scan itself with several values.
    """
    axes: dict[str, Axis] = {}
    for words, default in (
        (_words(default_params), True),
        (_words(params), False),
        (list(arguments), False),
    ):
        for override in parser.parse_overrides(words):
            axis = _axis(override, default=default)
            axes.pop(axis.name, None)
            axes[axis.name] = axis
    return [
        *(axis for name, axis in axes.items() if name != FASTEST),
        *(axis for name, axis in axes.items() if name == FASTEST),
    ]


def combinations(axes: Iterable[Axis]) -> list[dict[str, str]]:
    """Every combination of the axes' values, each as axis name -> override."""
    axes = list(axes)
    return [
        dict(zip((axis.name for axis in axes), values, strict=True))
        for values in itertools.product(*(axis.overrides for axis in axes))
    ]


def of_the_scan(name: str) -> bool:
    """Whether a setting belongs to the scan itself, not to its runs."""
    return name.split(".")[0] in OF_A_SCAN


def _axis(override: Override, *, default: bool) -> Axis:
    name = override.key_or_group + (f"@{override.package}" if override.package else "")
    key = override.get_key_element()
    if not override.is_sweep_override():
        line = override.input_line
        assert line is not None
        return Axis(name, (line,), default)
    if not override.is_discrete_sweep():
        raise ConfigError(f"{name}: an interval has no list of values; give a,b,c or range(a,b)")
    values = tuple(f"{key}={value}" for value in override.sweep_string_iterator())
    if not values:
        raise ConfigError(f"{name}: no value in {override.get_value_string()!r}; give at least one")
    if of_the_scan(name) and len(values) > 1:
        raise ConfigError(f"{name}: one value for the whole scan, found {len(values)}")
    return Axis(name, values, default)


def _words(params: Mapping[str, Any]) -> list[str]:
    words = []
    for key, value in params.items():
        if isinstance(value, list):
            if not value:
                raise ConfigError(f"hydra.sweeper.params.{key}: no value; give at least one")
            words.append(f"{key}=" + ",".join(map(_word, value)))
        else:
            words.append(f"{key}={_word(value)}")
    return words


def _word(value: Any) -> str:
    """A value of YAML as it is typed on the command line; text stays as it is."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ",".join(map(_word, value)) + "]"
    return str(value)
