"""Hydra's errors in one line: key, found, known keys, the nearest key. Imports no PyTorch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import OverrideParseException
from omegaconf import DictConfig, OmegaConf

from msnas.arguments import OFFERED, arguments_of
from msnas.config import below, takes, unknown
from msnas.errors import ConfigError
from msnas.training.lightning import taken

ADVICE = (
    "Available options",
    "Config search",
    "Either remove",
    "Or add",
    "Search path",
    "To append",
    "full_key",
)
"""Beginnings of Hydra's advice, which is left out: a key added so would do nothing."""

AMBIGUOUS = re.compile(r"Ambiguous value for argument '(.*)'$", re.MULTILINE)

NO_REASON = ("Error parsing override", "See https")


def refusal(error: Exception) -> ConfigError:
    """Hydra's error in one line, without knowing the configuration."""
    if isinstance(error, OverrideParseException):
        lines = [line for line in error.message.splitlines() if not line.startswith(NO_REASON)]
        reason = " ".join(" ".join(lines).split())
        hint = quoted(error.override)
        return ConfigError(f"{error.override!r}: expected key=value; {reason}{hint}")
    if ambiguous := AMBIGUOUS.search(str(error)):
        word = ambiguous[1]
        return ConfigError(f"{word}: several values, expected one; sweep does many{quoted(word)}")
    lines = []
    for one in (error, error.__cause__):
        for line in str(one or "").splitlines():
            if line.strip().startswith(ADVICE):
                break
            lines.append(line)
    return ConfigError(" ".join(" ".join(lines).split()) or type(error).__name__)


def quoted(override: str) -> str:
    """How a text with a comma, a space, an = or letters beyond ASCII is typed into a shell.

    >>> print(quoted("output=a, b"))
    ; a text of any characters has quotes: "output='a, b'"
    """
    key, given, text = override.partition("=")
    if not given or not text or text[0] in "'\"[{":
        return ""
    told = text.replace("'", "\\'")
    return f"; a text of any characters has quotes: \"{key}='{told}'\""


def no_option(group: str, option: object, options: Iterable[str]) -> ConfigError:
    """The error for an option that a group does not offer."""
    names = sorted(options)
    near = get_close_matches(str(option), names, n=1)
    hint = f" did you mean {near[0]}?" if near else ""
    return ConfigError(f"{group}: {option!r} is no option;{hint} options: {', '.join(names)}")


def check_values(overrides: Sequence[Override], config: DictConfig, groups: Sequence[str]) -> None:
    """Raise ConfigError for the first override that `config` has no place for.

    `groups` are the groups from which options are chosen; an override may misspell their names.
    """
    for override in overrides:
        key, text = override.key_or_group, str(override.input_line)
        if override.package is not None or "/" in key:
            raise no_group(override.get_key_element(), groups)
        there, node, name, parent = _look(config, key)
        if override.is_add():
            if there and not isinstance(override.value(), dict | list):
                raise ConfigError(f"{key}: is there already; change it with {text[1:]}")
        elif not there and not override.is_force_add():
            may = _may_have(node, parent)
            if name in may and not override.is_delete():
                raise ConfigError(f"{key}: not given so far; add it with +{text}")
            if not node:
                may = [*parent, *(one for one in groups if one.isidentifier())]
            target = parent.get("_target_")
            words = takes(target, may) if may and target else ""
            raise unknown(name, dict.fromkeys(may or parent), node=node, words=words)


def no_group(name: str, groups: Iterable[str]) -> ConfigError:
    """The error for a group that does not exist in this configuration."""
    known = sorted(one for one in groups if not one.startswith("hydra/"))
    return unknown(name, known, words=f"groups here: {', '.join(known)}")


def _look(config: DictConfig, key: str) -> tuple[bool, str, str, Mapping[str, Any]]:
    """Whether `key` exists; the node and the name where the search ends, and the node's content."""
    parent: Any = OmegaConf.to_container(config, resolve=False)
    node = ""
    for name in key.split("."):
        if not isinstance(parent, dict) or name not in parent:
            return False, node, name, parent if isinstance(parent, dict) else {}
        node, parent = below(node, name), parent[name]
    return True, node, name, {}


def _may_have(node: str, content: Mapping[str, Any]) -> list[str]:
    """The keys of an open node, where they are known."""
    if node == "trainer":
        return taken()
    if isinstance(target := content.get("_target_"), str):
        offered = OFFERED.get(node, ())
        return [name for name in arguments_of(target) or () if name not in offered]
    return []
