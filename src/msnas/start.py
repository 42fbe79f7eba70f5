"""Hydra around train.py and sweep.py: what it refuses becomes one line. Imports no PyTorch."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from msnas.errors import ConfigError, MsnasError, one_line
from msnas.overrides import refusal
from msnas.scan.compose import Composer
from msnas.scan.engine import check_installed


def start(main: Callable[[DictConfig], Any], *, config: str) -> None:
    """Compose the configuration as the command line says and call `main`, once or for a scan.

    Ends the process with status 1 and one line on standard error for a command line that is none.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors instead of printing them
    try:
        check_installed(sys.argv)
        hydra.main(version_base="1.3", config_path="conf", config_name=config)(main)()
    except MsnasError as error:
        sys.exit(f"error: {one_line(error)}")
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        folder = Path(inspect.getfile(main)).parent / "conf"
        explained = _explained(folder, config, sys.argv[1:])
        if explained is None and isinstance(error, ValueError):
            raise
        sys.exit(f"error: {one_line(explained or refusal(error))}")


def _explained(folder: Path, config: str, words: Sequence[str]) -> ConfigError | None:
    """The error that names the setting at fault: composed once more, for what is known there."""
    given = get_args_parser().parse_args(words)
    more = [f"hydra.searchpath=['{Path(given.config_dir).resolve()}']"] if given.config_dir else []
    folder = folder.parent / (given.config_path or folder)
    try:
        read = OverridesParser.create().parse_overrides(given.overrides)
        single = [str(one.input_line) for one in read if not one.is_sweep_override()]
        with hydra.initialize_config_dir(version_base="1.3", config_dir=str(folder.resolve())):
            loaded = GlobalHydra.instance().hydra
            assert loaded is not None
            Composer(loaded.config_loader, given.config_name or config).compose([*more, *single])
    except ConfigError as explained:
        return explained
    except (HydraException, OmegaConfBaseException):
        return None
    return None
