"""The only place that turns configuration into objects.

A class is imported, checked and called with plain values: nothing in these is resolved or called.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

from msnas import given
from msnas.config import check_plain, plain, refuse_others
from msnas.errors import ConfigError, MsnasError
from msnas.packages import allowed, check_allowed, is_allowed

T = TypeVar("T")


def check_target(target: object, *, key: str) -> None:
    """Raise ConfigError unless `target` names a class of an allowed package (`msnas.packages`).

    The class itself must live there too: a dotted path through a module's imports to something
    else (`msnas.store.os.system`) is refused.
    """
    _import_class(target, key=key)


def build(config: Any, *, key: str, of: type[T], **arguments: Any) -> T:
    """An object of the class `of` from `config`, a mapping with `_target_` and its arguments.

    Nested mappings with `_target_` become PyTorch modules, such as losses of metrics, unless the
    class lists them in `makes_itself`. `arguments` are passed too, as they are. Raises ConfigError,
    naming `key`, for a class that is not allowed, is no `of`, or does not take the arguments.
    """
    node = plain(config)
    check_plain(node, key=key)
    if not isinstance(node, dict) or "_target_" not in node:
        raise ConfigError(f"{key}: expected a mapping with _target_, found {node!r}")
    _check_keys(node, key=key)
    return _build(node, key=key, of=of, **arguments)


def class_of(config: Mapping[str, Any], *, key: str, of: type[T]) -> type[T]:
    """The class that `config` names in `_target_`; raise ConfigError unless it is an `of`."""
    found = _import_class(config.get("_target_"), key=key)
    if not issubclass(found, of):
        raise ConfigError(
            f"{key}._target_: {config['_target_']!r} is no {of.__module__}.{of.__name__}"
        )
    return found


def _build(node: Mapping[str, Any], *, key: str, of: type[T], **arguments: Any) -> T:
    if node["_target_"] == given.TARGET:
        made = given.take(node, key=key)
        if not isinstance(made, of):
            raise ConfigError(f"{key}: a {type(made).__name__} is no {of.__module__}.{of.__name__}")
        return made
    found = class_of(node, key=key, of=of)
    settings = {
        name: value
        if name in getattr(found, "makes_itself", ())
        else _nested(value, key=f"{key}.{name}")
        for name, value in node.items()
        if name != "_target_"
    }
    parameters = inspect.signature(found).parameters
    if all(one.kind is not inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
        refuse_others(settings, parameters, offered=arguments, target=node["_target_"], key=key)
    try:
        return found(**settings, **arguments)
    except MsnasError:
        raise
    except Exception as error:  # odd values may raise any error; the log has the traceback
        kind = "" if isinstance(error, TypeError | ValueError) else f"{type(error).__name__}: "
        raise ConfigError(f"{key}: {node['_target_']}: {kind}{error}") from error


def _nested(value: Any, *, key: str) -> Any:
    if isinstance(value, list):
        return [_nested(child, key=f"{key}[{index}]") for index, child in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if "_target_" in value:
        from torch import nn

        return _build(value, key=key, of=nn.Module)
    return {name: _nested(child, key=f"{key}.{name}") for name, child in value.items()}


def _check_keys(node: Any, *, key: str) -> None:
    """Raise ConfigError for a class that is not allowed, or another key that begins with _."""
    if isinstance(node, dict):
        for name in node:
            if name.startswith("_") and name != "_target_":
                raise ConfigError(f"{key}.{name}: not allowed in a configuration")
        if "_target_" in node:
            check_target(node["_target_"], key=key)
        for name, child in node.items():
            _check_keys(child, key=f"{key}.{name}")
    elif isinstance(node, list):
        for index, child in enumerate(node):
            _check_keys(child, key=f"{key}[{index}]")


def _import_class(target: Any, *, key: str) -> type[Any]:
    check_allowed(target, key=key)
    try:
        found = _find(target.split("."))
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{key}._target_: cannot import {target!r}: {reason}") from error
    if not inspect.isclass(found) or not is_allowed(found.__module__):
        raise ConfigError(f"{key}._target_: {target!r} is not a class of {allowed()} but {found!r}")
    return found


def _find(words: list[str]) -> Any:
    """The object at a dotted path: a module's attribute if there is one, else a submodule."""
    found: Any = importlib.import_module(words[0])
    for count, word in enumerate(words[1:], start=2):
        if not hasattr(found, word) and inspect.ismodule(found):
            importlib.import_module(".".join(words[:count]))
        found = getattr(found, word)
    return found
