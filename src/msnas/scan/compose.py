"""Configurations of many runs in little time. Imports no PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple, final

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from hydra.version import setbase
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from msnas.errors import ConfigError
from msnas.overrides import check_values, no_group, no_option, refusal

HYDRA = "hydra."
"""Its own settings, which decide what is composed."""


class _Read(NamedTuple):
    override: Override
    of_base: bool


class _Base(NamedTuple):
    config: DictConfig
    groups: list[str]


@final
class Composer:
    """Composes as Hydra does, but each choice of config groups only once.

    Hydra reads the files of the groups (0.1 s) and then changes single values; only the second
    differs between most runs of a scan. `folders` are looked at in this order
    (`conf_folders.folders_of`).
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

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The configuration without Hydra's own part; raise ConfigError for what is none."""
        try:
            read = [self._read(one) for one in overrides]
            groups = [one for one, it in zip(overrides, read, strict=True) if it.of_base]
            values = [one.override for one in read if not one.of_base]
            base = self._base(tuple(groups))
            config = copy.deepcopy(base.config)
            try:
                ConfigLoaderImpl._apply_overrides_to_config(values, config)
            except HydraException:
                check_values(values, base.config, base.groups)
                raise
        except (HydraException, OmegaConfBaseException) as error:
            raise refusal(error) from error
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
        """The error that names the one choice without which the others compose: its group."""
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
