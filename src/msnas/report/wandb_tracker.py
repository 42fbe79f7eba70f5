"""Weights & Biases."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from msnas.errors import ConfigError
from msnas.report.tracker import Tracker, epoch_numbers, final_numbers
from msnas.run_directory import RunDirectory


@final
class WandbTracker(Tracker):
    """One W&B run per run, written at its end; offline it needs neither account nor network.

    Raises ConfigError for a `mode` other than offline or online.
    """

    def __init__(self, *, project: str, mode: str) -> None:
        if mode not in ("offline", "online"):
            raise ConfigError(f"logger.mode: expected offline or online, found {mode!r}")
        self.project = project
        self.mode = mode

    def mirror(self, directory: RunDirectory, result: Mapping[str, Any]) -> str:
        """Write configuration, all epochs and the final numbers; say how to synchronise."""
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        logging.getLogger("wandb").setLevel(logging.ERROR)
        try:
            run = wandb.init(
                project=self.project,
                mode="online" if self.mode == "online" else "offline",
                dir=directory.path,
                name=f"{result['problem']}-{result['method']}-{result['key']}",
                job_type=result["method"],
                tags=[result["problem"], result["method"]],
                config=directory.config(),
                settings=wandb.Settings(
                    silent=True, console="off", disable_git=True, x_disable_stats=True
                ),
            )
            self._log(run, directory, result)
            folder = Path(run.dir).parent
            run.finish()
        except (wandb.Error, OSError) as error:
            return (
                f"W&B: not written ({error}); the run directory is complete. "
                "logger=none does without"
            )
        if self.mode == "online":
            return f"W&B: {run.url}"
        return f"W&B: offline run, upload it with: wandb sync {os.path.relpath(folder)}"

    def _log(self, run: Any, directory: RunDirectory, result: Mapping[str, Any]) -> None:
        lines = directory.history()
        for name in {name for line in lines for name in epoch_numbers(line)}:
            run.define_metric(name, step_metric="epoch")
        for line in lines:
            run.log({"epoch": line["epoch"], **epoch_numbers(line)})
        run.summary.update(
            {**final_numbers(result), **{f"selected/{k}": v for k, v in result["selected"].items()}}
        )
