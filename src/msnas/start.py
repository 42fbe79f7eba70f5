"""Runs `train` and `sweep` by Hydra, whose errors become one line. Imports no PyTorch."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, final

import hydra
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.version import setbase
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from msnas.conf_folders import SEARCH_PATH, declared, folders_of, parsed
from msnas.errors import ConfigError, MsnasError, one_line
from msnas.overrides import refusal
from msnas.scan.compose import Composer
from msnas.scan.engine import check_installed


def start(command: str, words: Sequence[str]) -> None:
    """Compose the configuration as the command line says and do the run, or the scan.

    Ends the process with status 1 and one line on standard error for a wrong command line.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors instead of printing them
    config = {"train": "config", "sweep": "sweep"}[command]
    words = [declared(word) for word in words]
    try:
        check_installed(words)
        given = parsed(words)
        folders_of(given)
        # options first: Hydra takes no override behind an option
        options = [word for word in words if word not in given.overrides]
        train = partial(_train, options=[] if given.multirun else options)
        task: Callable[[DictConfig], float | None] = train if command == "train" else _sweep
        if not options:
            with suppress(_OtherModeError):
                return _once(command, given, config, task)
        sys.argv[1:] = [*options, f"--config-path={given.config_path}", *given.overrides]
        hydra.main(version_base="1.3", config_path=None, config_name=config)(task)()
    except MsnasError as error:
        sys.exit(f"error: {one_line(error)}")
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        explained = _explained(config, words)
        if explained is None and not isinstance(error, HydraException | OmegaConfBaseException):
            raise
        sys.exit(f"error: {one_line(explained or refusal(error))}")
    except OSError as error:  # of Hydra's own folders
        sys.exit(f"error: {one_line(error)}")


class _OtherModeError(Exception):
    """The configuration itself asks for many runs, or for one (`hydra.mode`)."""


@final
class _Once(Hydra):
    """Hydra that composes the configuration once."""

    def compose_config(self, *args: Any, **settings: Any) -> DictConfig:
        config: DictConfig = super().compose_config(*args, **settings)
        if (config.hydra.mode or RunMode.RUN) is not settings["run_mode"]:
            raise _OtherModeError
        return config


def _once(
    command: str, given: Namespace, config: str, task: Callable[[DictConfig], float | None]
) -> None:
    """Do as `hydra.main`, which first composes everything to read `hydra.mode` alone (.3 s).

    Raises _OtherModeError, before anything is done, where that setting is not the command's.
    """
    setbase("1.3")
    main = _Once.create_main_hydra2(command, create_config_search_path(given.config_path))
    work = main.multirun if command == "sweep" else main.run
    try:
        work(config, task_function=task, overrides=given.overrides)
    finally:
        GlobalHydra.instance().clear()


def _train(cfg: DictConfig, *, options: Sequence[str]) -> float | None:
    """Do the configured run; return its validation loss, which another sweeper may minimise."""
    program = ["python", "train.py"] if Path(sys.argv[0]).name == "train.py" else ["msnas", "train"]
    from msnas.run import run
    from msnas.settings import OF_A_SCAN

    if many := [name for name in OF_A_SCAN if name in cfg]:
        sys.exit(f"error: {many[0]}: only for many runs (sweep.py or --multirun)")
    try:
        # as typed: their references are to the run's settings, not to Hydra's
        overrides = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
        assert isinstance(overrides, list)
        result = run(cfg, command=[*program, *options, *overrides])
    except (MsnasError, OSError) as error:
        sys.exit(f"error: {error}")
    return result["metrics"]["valid"]["loss"] if result else None


def _sweep(_: DictConfig) -> None:
    """Refuse a single run: the sweeper does a scan (msnas.scan), `train` does a single run."""
    sys.exit("error: sweep.py is for many runs; for one run: python train.py")


def _explained(config: str, words: Sequence[str]) -> ConfigError | None:
    """The error that names the setting at fault, found by composing once more; None if none is."""
    try:
        given = parsed(words)
        read = OverridesParser.create().parse_overrides(given.overrides)
        single = [
            str(one.input_line)
            for one in read
            if not one.is_sweep_override() and one.get_key_element() != SEARCH_PATH
        ]
        Composer(folders_of(given), given.config_name or config).compose(single)
    except ConfigError as explained:
        return explained
    except (HydraException, OmegaConfBaseException):
        return None
    return None
