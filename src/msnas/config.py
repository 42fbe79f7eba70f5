"""Configuration as plain values, with references resolved or refused. Imports no PyTorch.

A configuration that the user composes may refer to other settings. A file read from a run, a scan
or a store may come from somebody else: nothing in it is ever resolved.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from msnas.errors import ConfigError

REFERENCE = re.compile(r"\$\{(?:[\w.\[\]-]+\}|oc\.(?:env|select):)")
"""The allowed references: `${a.b}`, `${oc.env:NAME}` and `${oc.select:a.b,default}`."""

DEEPEST = 50
"""Most levels of nesting in a configuration."""

NAME = re.compile(r"\w[\w.-]{0,99}")
"""A name that may become the name of a file or folder."""

NAMED = "letters, digits, _ and, after the first, . and -, at most 100 of them"

NO_NAME = f"is no name; allowed are {NAMED}"


def plain(config: Any) -> Any:
    """The configuration as plain dictionaries and lists, its references resolved.

    Plain values stay as they are. Raises ConfigError, naming the key, for a reference that is not
    of the form `REFERENCE` (other resolvers could build objects), or to a missing setting.
    """
    if not OmegaConf.is_config(config):
        return config
    _check_references(OmegaConf.to_container(config, resolve=False), key="")
    try:
        return OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from error


def copied(value: Any) -> Any:
    """A deep copy of plain values, in a fifth of `copy.deepcopy`'s time."""
    if isinstance(value, dict):
        return {name: copied(child) for name, child in value.items()}
    return [copied(child) for child in value] if isinstance(value, list) else value


def check_plain(value: Any, *, key: str = "", depth: int = 0) -> None:
    """Raise ConfigError unless `value` is made of plain values, with nothing left to resolve."""
    if depth > DEEPEST:
        raise ConfigError(f"{key}: nested more than {DEEPEST} levels deep")
    if isinstance(value, dict):
        for name, child in value.items():
            if not isinstance(name, str):
                raise ConfigError(f"{key or 'keys'}: found the key {name!r}, expected a text")
            check_plain(name, key=key, depth=depth + 1)
            check_plain(child, key=below(key, name), depth=depth + 1)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            check_plain(child, key=f"{key}[{index}]", depth=depth + 1)
    elif isinstance(value, str):
        if "${" in value:
            raise ConfigError(f"{key}: found {short(value)}, but references are not resolved here")
        if value == "???":
            raise ConfigError(f"{key}: required, but not given")
    elif value is not None and not isinstance(value, bool | int | float):
        raise ConfigError(f"{key}: found a {type(value).__name__}, expected plain values")


def check_name(name: object, *, key: str) -> str:
    """`name`, if it can name a file or folder; raise ConfigError, naming `key`, if not."""
    if not is_name(name):
        raise ConfigError(f"{key}: {short(name)} {NO_NAME}")
    return str(name)


def is_name(name: object) -> bool:
    """Whether `name` can name a file or folder: it leads to no other folder."""
    return isinstance(name, str) and NAME.fullmatch(name) is not None


def below(key: str, name: object) -> str:
    """The full key of `name` in the node `key`."""
    return f"{key}.{name}" if key else str(name)


def unknown(name: str, known: Iterable[str], *, node: str = "", words: str = "") -> ConfigError:
    """The error for a key of `node` that is not `known` (listed by `words`), with the nearest."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" did you mean {below(node, near[0])}?" if near else ""
    words = words or (f"known: {', '.join(names)}" if names else f"{node} has no settings here")
    return ConfigError(f"{below(node, name)}: unknown;{hint} {words}")


def refuse_others(
    given: Iterable[str],
    taken: Iterable[str],
    *,
    offered: Iterable[str] = (),
    target: str,
    key: str,
) -> None:
    """Raise ConfigError for the first argument `given` that is not `taken`, or is `offered`."""
    known = [name for name in taken if name not in offered]
    for name in given:
        if name in known:
            continue
        if name in taken:
            raise ConfigError(f"{key}.{name}: given by the run itself; {takes(target, known)}")
        raise unknown(name, known, node=key, words=takes(target, known))


def takes(target: str, names: Iterable[str]) -> str:
    """The arguments that a class takes, in words."""
    return f"{target.rpartition('.')[2]} takes {', '.join(names) or 'no argument'}"


def _check_references(value: Any, *, key: str) -> None:
    if isinstance(value, dict):
        for name, child in value.items():
            _check_references(child, key=below(key, name))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            _check_references(child, key=f"{key}[{index}]")
    elif isinstance(value, str):
        for start in re.finditer(r"\$\{", value):
            if not REFERENCE.match(value, start.start()):
                raise ConfigError(
                    f"{key}: found {short(value)}; a setting may refer to others by "
                    "${a.b} or ${oc.select:a.b,default}, and to the environment by ${oc.env:NAME}"
                )


def short(value: object) -> str:
    """A value as an error shows it."""
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:120]}..."
