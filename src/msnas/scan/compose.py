"""Composes the configurations of many runs fast. Imports no PyTorch."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, final

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from hydra.version import setbase
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from msnas.conf_folders import declared
from msnas.config import plain
from msnas.errors import ConfigError
from msnas.overrides import check_values, no_group, no_option, refusal

REFERENCE = re.compile(r"\$\{[^{}]*\}")
"""A reference to another setting, or a resolver with names of settings among its arguments."""

NAME = re.compile(r"[\w.]+")
"""The name of a setting in a reference."""

MOST_RESOLVED = 1000
"""Most resolved configurations that are kept."""

HYDRA = "hydra."
"""The prefix of Hydra's own settings, which decide what is composed."""


class _Read(NamedTuple):
    override: Override
    of_base: bool


class _Base(NamedTuple):
    config: DictConfig
    groups: list[str]


class _Resolved(NamedTuple):
    """Plain values, and the names of settings that others refer to."""

    config: dict[str, Any]
    referred: set[str]

    def only_sets(self, override: Override, keys: Sequence[str] = ()) -> bool:
        """Whether an override only replaces a value that no other setting refers to.

        Nor may other overrides, of `keys`, set the value.
        """
        value = override.value()
        if override.type is not OverrideType.CHANGE or override.package is not None:
            return False
        if not isinstance(value, bool | int | float | str | None) or "${" in str(value):
            return False
        *nodes, last = override.key_or_group.split(".")
        node: Any = self.config
        for name in nodes:
            node = node.get(name) if isinstance(node, dict) else None
        if not isinstance(node, dict) or isinstance(node.get(last, {}), dict | list):
            return False
        return not any(_meet(one, override.key_or_group) for one in (*self.referred, *keys))


@final
class Composer:
    """Composes as Hydra does, but each choice of config groups only once.

    Hydra reads the files of the groups (0.1 s), changes single values and resolves references
    (10 ms); most runs of a scan differ only in values that nothing refers to, and share the other
    changes. `folders` are searched in this order (`conf_folders.folders_of`).
    """

    def __init__(self, folders: Sequence[str], config_name: str | None) -> None:
        setbase("1.3")
        search_path = create_config_search_path(folders[0])
        for folder in folders[1:]:
            search_path.prepend(provider="user", path=folder, anchor="schema")
        self.loader = ConfigLoaderImpl(search_path)
        self.config_name = config_name
        self.parser = OverridesParser.create(config_loader=self.loader)
        self._known: dict[str, _Read] = {}
        self._bases: dict[tuple[str, ...], _Base | Exception] = {}
        self._resolved: dict[tuple[tuple[str, ...], tuple[str, ...]], _Resolved] = {}

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The configuration without Hydra's own part; raise ConfigError for a wrong override."""
        try:
            return self._composed(*self._sorted(overrides))
        except (HydraException, OmegaConfBaseException) as error:
            raise refusal(error) from error

    def values(self, overrides: Sequence[str]) -> Any:
        """The same configuration with references resolved, as plain values.

        What no override changes is shared by all: not to be written to.
        """
        try:
            groups, changes = self._sorted(overrides)
            known = self._resolve(groups, ())
            others = [one for one in changes if not known.only_sets(one)]
            if others:
                keys = [one.key_or_group for one in others]
                values = [one for one in changes if known.only_sets(one)]
                try:
                    known = self._resolve(groups, tuple(str(one.input_line) for one in others))
                    apart = all(known.only_sets(one, keys) for one in values)
                except (HydraException, OmegaConfBaseException, ConfigError):
                    apart = False  # they need the values, or the error is told below
                if not apart:
                    return plain(self._composed(groups, changes))
                changes = values
        except (HydraException, OmegaConfBaseException) as error:
            raise refusal(error) from error
        config = dict(known.config)
        for override in changes:
            *nodes, last = override.key_or_group.split(".")
            node = config
            for name in nodes:
                node[name] = dict(node[name])
                node = node[name]
            node[last] = override.value()
        return config

    def _resolve(self, groups: tuple[str, ...], changes: tuple[str, ...]) -> _Resolved:
        """The resolved configuration of groups and of changes that are more than a value."""
        if (groups, changes) not in self._resolved:
            if len(self._resolved) == MOST_RESOLVED:
                self._resolved.clear()
            whole = self._base(groups).config
            if changes:
                whole = self._composed(groups, [self._read(one).override for one in changes])
            words = str(OmegaConf.to_container(whole, resolve=False))
            named = {name for one in REFERENCE.findall(words) for name in NAME.findall(one)}
            self._resolved[groups, changes] = _Resolved(plain(whole), named)
        return self._resolved[groups, changes]

    def _sorted(self, overrides: Sequence[str]) -> tuple[tuple[str, ...], list[Override]]:
        """Split overrides into choices of groups and changes of values that the groups hold."""
        overrides = [declared(one) for one in overrides]
        read = [self._read(one) for one in overrides]
        groups = tuple(one for one, it in zip(overrides, read, strict=True) if it.of_base)
        return groups, [one.override for one in read if not one.of_base]

    def _composed(self, groups: tuple[str, ...], changes: list[Override]) -> DictConfig:
        base = self._base(groups)
        config = copy.deepcopy(base.config)
        try:
            ConfigLoaderImpl._apply_overrides_to_config(changes, config)
        except HydraException:
            check_values(changes, base.config, base.groups)
            raise
        return config

    def _read(self, text: str) -> _Read:
        if text not in self._known:
            (override,) = self.parser.parse_overrides([text])
            # Hydra's own rule, see hydra._internal.defaults_list.Overrides
            group, value = override.key_or_group, override.value()
            is_group = self.loader.repository.group_exists(group) and not isinstance(value, dict)
            if is_group and not override.is_delete() and not isinstance(value, str | list):
                raise no_option(group, value, self.loader.get_group_options(group))
            self._known[text] = _Read(override, is_group or group.startswith(HYDRA))
        return self._known[text]

    def _base(self, groups: tuple[str, ...]) -> _Base:
        if groups not in self._bases:
            try:
                self._bases[groups] = self._compose(groups)
            except MissingConfigException as error:
                group, _, option = (error.missing_cfg_file or "").rpartition("/")
                options = self.loader.get_group_options(group) if group else []
                self._bases[groups] = no_option(group, option, options) if options else error
            except Exception as error:
                self._bases[groups] = self._without(groups) or error
        base = self._bases[groups]
        if isinstance(base, Exception):
            raise base
        return base

    def _without(self, groups: tuple[str, ...]) -> ConfigError | None:
        """The error for the choice of an unknown group, if the other choices compose without it."""
        for index, text in enumerate(groups):
            override = self._read(text).override
            if override.is_add() or override.key_or_group.startswith(HYDRA):
                continue
            try:
                others = self._compose((*groups[:index], *groups[index + 1 :]))
            except (HydraException, OmegaConfBaseException):
                continue
            if override.get_key_element() not in others.groups:
                return no_group(override.get_key_element(), others.groups)
        return None

    def _compose(self, groups: tuple[str, ...]) -> _Base:
        composed = self.loader.load_configuration(
            config_name=self.config_name, overrides=list(groups), run_mode=RunMode.RUN
        )
        choices = OmegaConf.to_container(composed.hydra.runtime.choices)
        assert isinstance(choices, dict)
        with read_write(composed), open_dict(composed):
            del composed["hydra"]
        lists = [f"candidate/{task}" for task in composed.get("tasks", {})]
        return _Base(composed, [*map(str, choices), *lists])


def _meet(name: str, key: str) -> bool:
    """Whether a reference `name` may read what `key` sets: the same node, one above or below."""
    if name.startswith("."):  # relative: to any setting whose key has its last name
        return name.rpartition(".")[2] in key.split(".")
    return name == key or name.startswith(f"{key}.") or key.startswith(f"{name}.")
