"""What configurations have in common, and what one of them adds. Imports no PyTorch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def common_part(configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The settings that are there, with one value, in all of `configs`.

    >>> common_part([{"seed": 0, "recipe": {"lr": 0.1}}, {"seed": 1, "recipe": {"lr": 0.1}}])
    {'recipe': {'lr': 0.1}}
    """
    if not configs:
        return {}
    common = dict(configs[0])
    for config in configs[1:]:
        common = _both(common, config)
    return common


def beside(config: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `config` that are not in `common`: the two merged are `config` again.

    >>> beside({"seed": 1, "recipe": {"lr": 0.1, "batch": 8}}, {"recipe": {"lr": 0.1}})
    {'seed': 1, 'recipe': {'batch': 8}}
    """
    rest: dict[str, Any] = {}
    for name, value in config.items():
        if name not in common:
            rest[name] = value
        elif not _same(value, common[name]):
            rest[name] = beside(value, common[name])
    return rest


def _both(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in one.items():
        if name not in other:
            continue
        if _same(value, other[name]):
            found[name] = value
        elif (
            isinstance(value, Mapping)
            and isinstance(other[name], Mapping)
            and (part := _both(value, other[name]))  # what shares nothing is left to each
        ):
            found[name] = part
    return found


def _same(one: Any, other: Any) -> bool:
    """Equal and of one type: true is not 1, and 0 is not 0.0."""
    return json.dumps(one, default=str) == json.dumps(other, default=str)
