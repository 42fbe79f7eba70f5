"""Launches works through Hydra's launcher plugins until none is left. Imports no PyTorch."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, final

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from msnas.errors import ConfigError, MsnasError, one_line
from msnas.folders import entries
from msnas.scan.tether import Tether
from msnas.scan.work import Work
from msnas.stop import with_workers

PLUGINS = {
    "joblib": "hydra_joblib_launcher",
    "submitit_local": "hydra_submitit_launcher",
    "submitit_slurm": "hydra_submitit_launcher",
    "ray": "hydra_ray_launcher",
}
"""Engine -> the package of `hydra_plugins` that provides it."""

ELSEWHERE = ("submitit_slurm", "ray")
"""Engines whose workers may be on other machines."""

Works = Sequence[Work]

IDLE_ROUNDS = 5
"""The engine is given up after this many rounds in a row without any progress."""


class EngineError(MsnasError):
    """The engine no longer makes any progress."""


def check_installed(arguments: Iterable[str]) -> None:
    """Raise ConfigError if the command line asks for an engine that is not installed."""
    for word in arguments:
        group, _, name = word.partition("=")
        package = PLUGINS.get(name)
        if group == "hydra/launcher" and package and find_spec(f"hydra_plugins.{package}") is None:
            raise ConfigError(
                f"hydra/launcher={name}: {package} is not installed; "
                f"install it with: pip install {package.replace('_', '-')}"
            )


@final
class Engine:
    """A launcher that may lose jobs or raise errors: unfinished works are launched again.

    `name` is the launcher's name, `settings` its configuration, `make_launcher` makes it. On this
    machine a job is a worker that does many works, as starting a job costs half a second; on other
    machines every work is a job.
    """

    def __init__(
        self,
        name: str,
        settings: DictConfig,
        make_launcher: Callable[[Works, Path | None], Launcher],
    ) -> None:
        self.name = name
        self.settings = settings
        self.make_launcher = make_launcher
        self._launched = 0

    def work_off(self, works: Sequence[Work], *, caches: Iterable[Path]) -> None:
        """Launch until no work is left; raise EngineError when there is no more progress.

        `caches` are folders of trainings: new or changed files in them count as progress.
        """
        places = list(caches)
        idle, trouble = 0, "it came back without an error"
        while left := [work for work in works if work.left]:
            before = _traces(works, places)
            if idle:
                time.sleep(min(2**idle, 30) / 4)
            trouble = self._launch(left) or trouble
            for work in works:
                work.look()
            idle = idle + 1 if _traces(works, places) == before else 0
            if idle == IDLE_ROUNDS and any(work.left for work in works):
                raise EngineError(
                    f"hydra/launcher={self.name} was tried {IDLE_ROUNDS} times in a row without "
                    f"any progress, {sum(work.left for work in works)} left; last: {trouble}"
                )

    @property
    def workers(self) -> int | None:
        """Number of processes that share the works on this machine; None if every work is a job."""
        if self.name == "joblib":
            from joblib import effective_n_jobs

            return int(effective_n_jobs(self.settings.n_jobs))
        # submitit's local executor starts all its jobs at once: give it one per core
        local = {"basic": 1, "submitit_local": len(os.sched_getaffinity(0))}
        return local.get(self.name)

    def _has_no_workers(self) -> bool:
        """Whether the jobs run in this process."""
        return self.name in ("basic", "joblib") and self.workers == 1

    def _launch(self, works: list[Work]) -> str | None:
        """Call the launcher once; return the engine's error in words, None if there was none."""
        workers = self.workers
        jobs = len(works) if workers is None else min(workers, len(works))
        first, self._launched = self._launched, self._launched + jobs
        try:
            if self.name == "ray":
                _start_ray(self.settings)
            if self.name == "submitit_local":
                _expect_results_at_once()
            with (
                nullcontext() if workers is None else TemporaryDirectory(prefix="msnas-") as claims,
                nullcontext() if self._has_no_workers() else with_workers(),
            ):
                launcher: Any = self.make_launcher(works, Path(claims) if claims else None)
                if self.name == "joblib":
                    _start_tracker()
                    # an idle worker ends with the scan too
                    launcher.joblib["initializer"] = Tether.to_this_process()
                returns = launcher.launch(
                    [work.launched_as for work in works[:jobs]], initial_job_idx=first
                )
        except Exception as error:
            if self.name == "ray":
                _stop_ray()
            logging.getLogger("msnas.scan").debug("the engine failed", exc_info=True)
            return one_line(error)
        return _take_answers(works, returns, shared=workers is not None)


def _take_answers(
    works: Sequence[Work], returns: Sequence[JobReturn], *, shared: bool
) -> str | None:
    trouble = None
    for place, one in enumerate(returns):
        if one.status is not JobStatus.COMPLETED:
            trouble = f"{one.status.name}: {one._return_value!r}"
            continue
        for number, answer in one.return_value.items():
            works[number if shared else place].answered(answer)
    return trouble


def _traces(works: Sequence[Work], places: list[Path]) -> tuple[Any, ...]:
    """Numbers that change with any progress: works left, attempts, files of trainings."""
    newest, count = 0, 0
    for path in _files_of_trainings(places):
        try:
            newest = max(newest, path.stat().st_mtime_ns)
        except OSError:
            continue  # renamed since it was listed
        count += 1
    attempts = sum(getattr(work, "attempts", 0) for work in works)
    return sum(work.left for work in works), attempts, newest, count


def _files_of_trainings(places: list[Path]) -> Iterator[Path]:
    """Files of finished and unfinished trainings, but no locks: these change without progress."""
    for kind in (kind for place in places for kind in entries(place)):
        for path in entries(kind):
            if path.suffix != ".lock":
                yield path
            if path.suffix == ".partial":
                yield from entries(path)


def _start_ray(settings: DictConfig) -> None:
    """Connect first: the plugin would give a running cluster a setting that Ray refuses."""
    import ray

    if not ray.is_initialized():
        given: Any = OmegaConf.to_container(settings.ray.init, resolve=True)
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        if given.get("address") is None and "RAY_ADDRESS" not in os.environ:
            quiet["include_dashboard"] = False
        ray.init(**{**quiet, **given})
        # a page on every lost node comes whatever the settings; what was lost is launched again
        ray._private.worker.print_to_stdstream = lambda *_, **__: None


def _start_tracker() -> None:
    """Start loky's resource tracker before the workers: its start unblocks signals here again."""
    from joblib.externals.loky.backend.resource_tracker import ensure_running

    ensure_running()


def _expect_results_at_once() -> None:
    """Wait for no result: a local process that has ended leaves its result at once or never."""
    from submitit.local.local import LocalJob

    LocalJob._results_timeout_s = 1


def _stop_ray() -> None:
    """Disconnect from Ray, which ends the scan's jobs that still run."""
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()
