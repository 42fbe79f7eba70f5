"""Configurations of many runs in little time. Imports no PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple, final

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict, read_write


class _Read(NamedTuple):
    override: Override
    chooses_group: bool


@final
class Composer:
    """Composes as Hydra does, but each choice of config groups only once.

    Hydra reads the files of the groups (0.1 s) and then changes single values; only the second
    differs between most runs of a scan.
    """

    def __init__(self, loader: ConfigLoader, config_name: str | None) -> None:
        assert isinstance(loader, ConfigLoaderImpl)
        self.loader = loader
        self.config_name = config_name
        self.parser = OverridesParser.create(config_loader=loader)
        self._known: dict[str, _Read] = {}
        self._bases: dict[tuple[str, ...], DictConfig | Exception] = {}

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The configuration without Hydra's own part; raise what Hydra raises."""
        groups = tuple(one for one in overrides if self._read(one).chooses_group)
        values = [one for one in map(self._read, overrides) if not one.chooses_group]
        config = copy.deepcopy(self._base(groups))
        ConfigLoaderImpl._apply_overrides_to_config([one.override for one in values], config)
        return config

    def _read(self, text: str) -> _Read:
        if text not in self._known:
            (override,) = self.parser.parse_overrides([text])
            # Hydra's own rule, see hydra._internal.defaults_list.Overrides
            is_group = self.loader.repository.group_exists(override.key_or_group)
            self._known[text] = _Read(override, is_group and not isinstance(override.value(), dict))
        return self._known[text]

    def _base(self, groups: tuple[str, ...]) -> DictConfig:
        if groups not in self._bases:
            try:
                self._bases[groups] = self._compose(groups)
            except Exception as error:
                self._bases[groups] = error
        base = self._bases[groups]
        if isinstance(base, Exception):
            raise base
        return base

    def _compose(self, groups: tuple[str, ...]) -> DictConfig:
        composed = self.loader.load_configuration(
            config_name=self.config_name, overrides=list(groups), run_mode=RunMode.RUN
        )
        with read_write(composed), open_dict(composed):
            del composed["hydra"]
        return composed
