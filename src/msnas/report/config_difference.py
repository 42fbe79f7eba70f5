"""Settings that all configurations share, and the rest of each. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msnas.results.alike import flat

Settings = Mapping[str, Any]


def common_part(configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The settings that have the same value in all of `configs`, by names such as `a.b.c`.

    >>> common_part([{"seed": 0, "recipe": {"lr": 0.1}}, {"seed": 1, "recipe": {"lr": 0.1}}])
    {'recipe.lr': 0.1}
    """
    # as texts, so that they are of one type: true is not 1, and 0 is not 0.0
    texts = [{(name, repr(value)) for name, value in flat(config).items()} for config in configs]
    shared = {name for name, _ in set.intersection(*texts)} if texts else set()
    first = flat(configs[0]) if texts else {}
    return {name: value for name, value in first.items() if name in shared}


def beside(config: Mapping[str, Any], common: Settings) -> dict[str, Any]:
    """The settings of `config` that are not in `common`; both together are the whole `config`.

    >>> beside({"seed": 1, "recipe": {"lr": 0.1, "batch": 8}}, {"recipe.lr": 0.1})
    {'seed': 1, 'recipe.batch': 8}
    """
    return {name: value for name, value in flat(config).items() if name not in common}
