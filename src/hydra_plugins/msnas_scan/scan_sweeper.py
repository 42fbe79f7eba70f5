"""The sweeper `hydra/sweeper=scan`: launches the unfinished runs until all are finished."""

import sys
from dataclasses import dataclass, field
from functools import partial
from typing import Any, final

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write


@dataclass
class ScanSweeperConf:
    """Settings of the sweeper.

    `params` are axes; an axis on the command line replaces the same axis here. `default_params`
    are axes that both replace; they are left out where they have no meaning. `parts`, if given,
    are scans done together: each part holds further `params`.
    """

    _target_: str = "hydra_plugins.msnas_scan.scan_sweeper.ScanSweeper"
    params: dict[str, Any] = field(default_factory=dict)
    parts: list[Any] = field(default_factory=list)
    default_params: dict[str, Any] = field(default_factory=dict)


ConfigStore.instance().store(
    group="hydra/sweeper", name="scan", node=ScanSweeperConf, provider="msnas"
)


@final
class ScanSweeper(Sweeper):
    """Does the runs of every combination of the axes through the configured launcher."""

    def __init__(self, *, params: Any, parts: Any, default_params: Any) -> None:
        self.params = params
        self.parts = parts
        self.default_params = default_params

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep Hydra's context and configuration; workers do `ScanJob`, not the `task_function`."""
        self.hydra_context = hydra_context
        self.full_config = config

    def sweep(self, arguments: list[str]) -> None:
        """Do the scan; exit with status 1 if something failed."""
        # everything heavy is imported here: Hydra imports this module at every start
        from msnas.errors import MsnasError

        try:
            done = self._sweep(arguments)
        except (MsnasError, OSError) as error:
            sys.exit(f"error: {error}")
        if not done:
            sys.exit(1)

    def _sweep(self, arguments: list[str]) -> bool:
        import gc
        import os

        from msnas.conf_folders import SEARCH_PATH
        from msnas.config import plain
        from msnas.scan.compose import Composer
        from msnas.scan.engine import ELSEWHERE, Engine
        from msnas.scan.find import Maker, find_scan
        from msnas.scan.race import find_races
        from msnas.scan.scan import Scan
        from msnas.settings import OF_A_SCAN, check_scan_settings
        from msnas.terminal import terminal

        hydra = self.full_config.hydra
        launcher = str(hydra.runtime.choices["hydra/launcher"])
        settings = plain(
            OmegaConf.masked_copy(
                self.full_config, [key for key in self.full_config if key in OF_A_SCAN]
            )
        )
        check_scan_settings(settings)
        sources = [
            f"{source.schema}://{source.path}"
            for source in hydra.runtime.config_sources
            if source.provider.startswith(("main", "command-line", SEARCH_PATH))
        ]
        composer = Composer(sources, hydra.job.config_name)
        before = gc.get_threshold()
        gc.set_threshold(100_000)  # many results are read, and all of them stay
        runs, impossible = find_scan(
            arguments,
            params=plain(self.params),
            parts=plain(self.parts),
            default_params=plain(self.default_params),
            composer=composer,
            elsewhere=launcher in ELSEWHERE,
        )
        gc.freeze()
        gc.set_threshold(*before)
        make = Maker(composer, elsewhere=launcher in ELSEWHERE)
        runs, races, unable = find_races(runs, make=make)
        impossible += unable
        scan = Scan(
            runs,
            impossible,
            races=races,
            settings=settings,
            experiment=hydra.runtime.choices.get("experiment"),
            command=arguments,
            console=terminal(file=sys.stdout),
        )
        if scan.dry_run:
            scan.preview(workers=1 if launcher == "basic" else len(os.sched_getaffinity(0)))
            return not impossible
        with read_write(hydra), open_dict(hydra):
            hydra.sweep.dir = str(scan.ledger.folder)
        launch = partial(self._launcher, sources=tuple(sources))
        return scan.work_off(Engine(launcher, hydra.launcher, launch))

    def _launcher(self, works: Any, claims: Any, *, sources: tuple[str, ...]) -> Any:
        from pathlib import Path

        from hydra.core.plugins import Plugins

        from msnas.scan.job import ScanJob, Share
        from msnas.scan.tether import Tether

        share = None
        if claims is not None:
            overrides = tuple(tuple(work.launched_as) for work in works)
            name = self.full_config.hydra.job.config_name
            share = Share(overrides, claims, folders=sources, config_name=name)
        assert self.hydra_context is not None
        return Plugins.instance().instantiate_launcher(
            hydra_context=self.hydra_context,
            task_function=ScanJob(Path.cwd(), Tether.to_this_process(), share),
            config=self.full_config,
        )
