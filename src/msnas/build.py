"""The only place that turns configuration into objects."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import hydra.errors
import hydra.utils
from omegaconf import OmegaConf

from msnas.errors import ConfigError

ALLOWED = ("msnas", "torch.nn", "torch.optim", "torchmetrics", "gpytorch", "torchjd")


def check_target(target: object, *, key: str) -> None:
    """Raise ConfigError unless `target` names a class of this package or of a named library.

    The class itself must live there too: a dotted path through a module's imports to something
    else (`msnas.store.os.system`) is refused.
    """
    if not isinstance(target, str) or not _below(target, ALLOWED):
        raise ConfigError(
            f"{key}._target_: {target!r} is not allowed; classes may come from {list(ALLOWED)}"
        )
    try:
        found = hydra.utils.get_object(target)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{key}._target_: cannot import {target!r}: {reason}") from error
    if not inspect.isclass(found) or not _below(found.__module__, ALLOWED):
        raise ConfigError(
            f"{key}._target_: {target!r} is not a class of {list(ALLOWED)} but {found!r}"
        )


def build(config: Any, *, key: str, **arguments: Any) -> Any:
    """Instantiate `config` (a mapping with `_target_`), with extra keyword `arguments`.

    Raises ConfigError naming `key` when a class is not allowed or does not take the arguments.
    """
    node = plain(config)
    _check_targets(node, key=key)
    if not isinstance(node, dict) or "_target_" not in node:
        raise ConfigError(f"{key}: expected a mapping with _target_, found {node!r}")
    try:
        # the arguments are added by a call of our own: Hydra would copy them
        factory = hydra.utils.instantiate(node, _partial_=True, _convert_="all")
        return factory(**arguments)
    except hydra.errors.InstantiationException as error:
        raise ConfigError(f"{key}: {node['_target_']}: {error.__cause__ or error}") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{key}: {node['_target_']}: {error}") from error


def class_of(config: Mapping[str, Any], *, key: str) -> type[Any]:
    """The class that `config` names in `_target_`."""
    check_target(config.get("_target_"), key=key)
    return hydra.utils.get_class(config["_target_"])


def plain(config: Any) -> Any:
    """The configuration as resolved plain dictionaries and lists."""
    return OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config


def _check_targets(node: Any, *, key: str) -> None:
    if isinstance(node, dict):
        for special in node.keys() & {"_partial_", "_recursive_", "_convert_", "_args_"}:
            raise ConfigError(f"{key}.{special}: not allowed in a configuration")
        if "_target_" in node:
            check_target(node["_target_"], key=key)
        for name, child in node.items():
            _check_targets(child, key=f"{key}.{name}")
    elif isinstance(node, list):
        for index, child in enumerate(node):
            _check_targets(child, key=f"{key}[{index}]")


def _below(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(root + ".") for root in roots)
