"""Weights & Biases."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from msnas.errors import ConfigError
from msnas.report.tracker import Tracker, epoch_numbers, final_numbers
from msnas.run_directory import RunDirectory


@final
class WandbTracker(Tracker):
    """One W&B run per run, written at its end; offline it needs neither account nor network.

    The W&B run has the run's key as its id, `group` (by default the problem's name) as its group,
    and the method as its job type. It lies in the folder `wandb` of the run directory and replaces
    what a repeated or an interrupted run has left there.

    Raises ConfigError for a `mode` other than offline or online.
    """

    def __init__(self, *, project: str, mode: str, group: str | None) -> None:
        if mode not in ("offline", "online"):
            raise ConfigError(f"logger.mode: expected offline or online, found {mode!r}")
        self.project = project
        self.mode = mode
        self.group = group

    def mirror(self, directory: RunDirectory, result: Mapping[str, Any]) -> str:
        """Write configuration, all epochs, numbers, tables and figures; say how to synchronise."""
        os.environ.setdefault("WANDB_SILENT", "true")
        if self.mode == "offline":  # else W&B reports on itself over the network even so
            os.environ["WANDB_ERROR_REPORTING"] = "false"
        import wandb

        logging.getLogger("wandb").setLevel(logging.ERROR)
        folder = directory.path / "wandb"
        shutil.rmtree(folder, ignore_errors=True)
        config = directory.config()
        try:
            with wandb.init(
                project=self.project,
                mode="online" if self.mode == "online" else "offline",
                dir=directory.path,
                id=result["key"],
                name=f"{result['problem']}-{result['method']}-{result['key']}",
                group=self.group or result["problem"],
                job_type=result["method"],
                tags=[result["problem"], result["method"], f"seed {result['seed']}"],
                config=config,
                settings=wandb.Settings(
                    silent=True,
                    console="off",
                    disable_git=True,
                    x_disable_stats=True,
                    reinit="create_new",  # never into another run of this process
                ),
            ) as run:
                _log_epochs(run, directory)
                run.log(_tables_and_figures(directory, result))
                run.summary.update(_summary(result))
                place = os.path.relpath(Path(run.dir).parent)
                address = run.url
            if wandb.run is None:  # else the process has a run of its own, which would end too
                # the end of a run returns before its file is whole; this waits for it
                wandb.teardown()
        except (wandb.Error, OSError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            return (
                f"W&B: not written ({error}); the run directory is complete. "
                "logger=none does without"
            )
        if self.mode == "online":
            return f"W&B: {address}"
        return f"W&B: offline run, upload it with: wandb sync {place}"


def _log_epochs(run: Any, directory: RunDirectory) -> None:
    """Every number of every epoch, against the epoch of its own training."""
    lines = directory.history()
    for name in dict.fromkeys(name for line in lines for name in epoch_numbers(line)):
        run.define_metric(name, step_metric="epoch")
    for line in lines:
        run.log({"epoch": line["epoch"], **epoch_numbers(line)})


def _tables_and_figures(directory: RunDirectory, result: Mapping[str, Any]) -> dict[str, Any]:
    """The chains with their validation numbers, and the PNG files of the run directory."""
    import wandb

    tasks = list(result["selected"])
    metrics = [
        name for name, value in result["metrics"]["valid"].items() if not isinstance(value, Mapping)
    ]
    chains = wandb.Table(
        columns=["stage", *tasks, "selected", *metrics],
        data=[
            [
                chain["stage"],
                *(chain["selected"][task] for task in tasks),
                chain["selected"] == result["selected"],
                *(chain["valid"].get(name) for name in metrics),
            ]
            for chain in result["chains"]
        ],
    )
    figures = sorted(directory.path.glob("*.png"))
    return {
        "chains": chains,
        **{f"figures/{path.stem}": wandb.Image(str(path)) for path in figures},
    }


def _summary(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a run ends with, as columns of a table of runs; `v1` is the first weight there is."""
    return {
        **final_numbers(result),
        **{f"selected/{task}": candidate for task, candidate in result["selected"].items()},
        **{f"task_weight/{task}": weight for task, weight in result["task_weights"].items()},
        "v1": next(iter(result["task_weights"].values())),
        "seed": result["seed"],
        "chain": " -> ".join(result["selected"].values()),
    }
