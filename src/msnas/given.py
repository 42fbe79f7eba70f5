"""Objects handed over in Python: a configuration names them by a hash of their content.

A module, a metric or arrays that no YAML file could make are kept in this process under a hash of
their content; the configuration holds that hash. Another process, as of `python -m msnas.predict`,
cannot make the object from the hash, and `take` says so. Imports no PyTorch.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any, final

import numpy as np

from msnas.data.source import Source
from msnas.errors import ConfigError

TARGET = "msnas.given.Given"

_known: dict[str, Any] = {}


@final
class Given:
    """Stands for an object in a configuration: `kind` is its class, `content` its hash."""

    def __init__(self, *, kind: str, content: str) -> None:
        self.kind = kind
        self.content = content


def give(value: Any) -> dict[str, Any]:
    """The node of a configuration for an object of this process, or for a function that makes it.

    A function, called without arguments, makes a fresh module for every seed; an object is the
    same at the beginning of every run, with the weights that it has when it is handed over.
    """
    example = _example(value) if _makes(value) else copy.deepcopy(value)
    checksum = hashlib.sha256(b"made" if _makes(value) else b"kept")
    for piece in _content(example):
        checksum.update(piece)
    content = checksum.hexdigest()[:16]
    _known[content] = value if _makes(value) else example
    return {"_target_": TARGET, "kind": type(example).__name__, "content": content}


def same(one: Any, other: Any) -> bool:
    """Whether two objects behave alike."""
    return list(_content(one)) == list(_content(other))


def holds_given(config: Any) -> bool:
    """Whether a configuration names an object of this process."""
    if isinstance(config, Mapping):
        return config.get("_target_") == TARGET or any(map(holds_given, config.values()))
    return isinstance(config, list) and any(map(holds_given, config))


def take(node: Mapping[str, Any], *, key: str) -> Any:
    """The object handed to `give`, made or copied; raise ConfigError if this process lacks it."""
    if node.get("content") not in _known:
        raise ConfigError(
            f"{key}: {node.get('kind')!r} was handed over in Python and is not known here; "
            "make its problem there, and msnas.load(run)"
        )
    value = _known[node["content"]]
    if isinstance(value, Arrays):  # arrays are never written to
        return value
    return value() if _makes(value) else copy.deepcopy(value)


@final
class Arrays(Source):
    """Arrays in memory, [event, ...] each; `weight` and `part` as in every source."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = {name: np.asarray(value) for name, value in arrays.items()}

    def load(self, names: Collection[str]) -> dict[str, np.ndarray]:
        """All arrays, whatever the `names`."""
        return dict(self.arrays)

    def identity(self) -> dict[str, Any]:
        """The checksum of all content."""
        checksum = hashlib.sha256()
        for piece in _content(self):
            checksum.update(piece)
        return {"sha256": checksum.hexdigest()}


def _example(make: Any) -> Any:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


def _makes(value: Any) -> bool:
    return inspect.isfunction(value) or inspect.isclass(value) or isinstance(value, partial)


def _content(value: Any) -> Iterator[bytes]:
    """All that decides how an object behaves: sources of its classes, attributes, weights."""
    if isinstance(value, Arrays):
        yield from _attribute(value.arrays, set())
        return
    modules = dict(value.named_modules()) if hasattr(value, "named_modules") else {"": value}
    for name, module in modules.items():
        kind = type(module)
        yield f"{name} {kind.__module__}.{kind.__qualname__}".encode()
        of_library = kind.__module__.split(".")[0] in ("torch", "torchmetrics")
        if not of_library:
            yield _source(kind)
        for key, one in sorted(vars(module).items()):
            if key not in OF_PYTORCH and (not of_library or isinstance(one, PLAIN)):
                yield key.encode()
                yield from _attribute(one, {id(module)})
    if hasattr(value, "state_dict"):
        yield from _attribute(dict(value.state_dict()), set())


PLAIN = (bool, int, float, str, tuple, type(None))

OF_PYTORCH = ("_parameters", "_buffers", "_modules", "_made_with")
"""Attributes that are hashed elsewhere: weights with the state, submodules by themselves."""


def _attribute(value: Any, within: set[int]) -> Iterator[bytes]:
    """The content of an attribute; of an unknown object its class and its own attributes."""
    if hasattr(value, "named_modules") and within:
        yield b"a module"
    elif isinstance(value, np.ndarray) or hasattr(value, "detach"):
        array = value if isinstance(value, np.ndarray) else value.detach().cpu().numpy()
        yield f"{array.dtype.str} {array.shape}".encode()
        yield np.ascontiguousarray(array).tobytes()
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield str(key).encode()
            yield from _attribute(value[key], within)
    elif isinstance(value, list | tuple):
        yield f"{type(value).__name__} {len(value)}".encode()
        for one in value:
            yield from _attribute(one, within)
    elif isinstance(value, PLAIN):
        yield repr(value).encode()
    elif inspect.isroutine(value) or inspect.isclass(value):
        yield f"{value.__module__}.{value.__qualname__}".encode()
        yield _source(value)
    else:
        yield f"{type(value).__module__}.{type(value).__qualname__}".encode()
        if id(value) not in within:
            yield from _attribute(getattr(value, "__dict__", {}), {*within, id(value)})


def _source(kind: Any) -> bytes:
    try:
        return inspect.getsource(kind).encode()
    except (OSError, TypeError):  # typed into a console: its name is all there is
        return b""
