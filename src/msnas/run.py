"""A run from its configuration to its table. Imports PyTorch only when there is work to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from msnas.locks import file_lock
from msnas.plan import make_plan
from msnas.report.run_log import run_log
from msnas.report.table import show_result
from msnas.run_directory import RunDirectory


def run(cfg: DictConfig | Mapping[str, Any], *, console: Console | None = None) -> dict[str, Any]:
    """Do the configured run, or show it if it is finished; return its result.

    Raises ConfigError, DataError or TrainingError for what the user can mend.
    """
    console = console or Console()
    plan = make_plan(cfg)
    directory = RunDirectory(plan.directory)
    directory.path.mkdir(parents=True, exist_ok=True)
    with file_lock(directory.lock, what=f"doing the run {directory.path}"):
        finished = directory.result()
        if finished is not None and not plan.config["force"]:
            console.print(f"This run is finished (force=true repeats it): {directory.path}")
            show_result(finished, directory.path, console)
            return finished
        # PyTorch and Lightning take seconds to import: only when there is something to train
        from msnas.pipeline import run_stages
        from msnas.training.progress import Display

        directory.drop_result()
        with run_log(directory.log, console):
            result = run_stages(plan, directory, Display(console), repeat=finished is not None)
        show_result(result, directory.path, console)
        return result
