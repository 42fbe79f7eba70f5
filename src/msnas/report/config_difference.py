"""What configurations have in common, and what one of them adds. Imports no PyTorch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Place = tuple[str, ...]


def common_part(configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The settings that are there, with one value, in all of `configs`.

    >>> common_part([{"seed": 0, "recipe": {"lr": 0.1}}, {"seed": 1, "recipe": {"lr": 0.1}}])
    {'recipe': {'lr': 0.1}}
    """
    # as texts, so that they are of one type: true is not 1, and 0 is not 0.0
    texts = [
        {(place, json.dumps(value, default=str)) for place, value in _settings(config)}
        for config in configs
    ]
    shared = {place for place, _ in set.intersection(*texts)} if texts else set()
    first = _settings(configs[0]) if texts else ()
    return _nested({place: value for place, value in first if place in shared})


def beside(config: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `config` that are not in `common`: the two merged are `config` again.

    >>> beside({"seed": 1, "recipe": {"lr": 0.1, "batch": 8}}, {"recipe": {"lr": 0.1}})
    {'seed': 1, 'recipe': {'batch': 8}}
    """
    known = dict(_settings(common))
    return _nested({place: value for place, value in _settings(config) if place not in known})


def _settings(config: Mapping[str, Any], above: Place = ()) -> Iterator[tuple[Place, Any]]:
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _settings(value, (*above, name))
        else:
            yield (*above, name), value


def _nested(settings: Mapping[Place, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for (*above, name), value in settings.items():
        node = found
        for part in above:
            node = node.setdefault(part, {})
        node[name] = value
    return found
