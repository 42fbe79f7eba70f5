"""Weights & Biases."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any, final

from msnas.errors import ConfigError
from msnas.report.tracker import Tracker, choices, epoch_numbers, final_numbers
from msnas.results.result import Result
from msnas.run_directory import RunDirectory
from msnas.storage import whole_folder

FOLDER = "wandb"


@final
class WandbTracker(Tracker):
    """One W&B run per run, written at its end; offline it needs neither account nor network.

    The W&B run has the run's key as its id, `group` (by default the problem's name) as its group,
    and the method as its job type. It lies in the folder `wandb` of the run directory.

    Raises ConfigError for a `mode` other than offline or online.
    """

    def __init__(self, *, project: str, mode: str, group: str | None) -> None:
        if mode not in ("offline", "online"):
            raise ConfigError(f"logger.mode: expected offline or online, found {mode!r}")
        self.project = project
        self.mode = mode
        self.group = group

    def missing(self, directory: RunDirectory) -> bool:
        """Whether there is no W&B run, or, if it shall be online, only one that was kept here."""
        runs = "run-*" if self.mode == "online" else "*run-*"
        return not any((directory.path / FOLDER).glob(runs))

    def mirror(self, directory: RunDirectory, result: Mapping[str, Any]) -> str:
        """Write configuration, all epochs, numbers, tables and figures; say how to synchronise."""
        os.environ.setdefault("WANDB_SILENT", "true")
        if self.mode == "offline":  # else W&B reports on itself over the network even so
            os.environ["WANDB_ERROR_REPORTING"] = "false"
        import wandb

        logging.getLogger("wandb").setLevel(logging.ERROR)
        config = directory.config()
        selected = Result.of(result, config=config, directory=directory.path)
        folder = directory.path / FOLDER
        with whole_folder(folder) as new:
            with wandb.init(
                project=self.project,
                mode="online" if self.mode == "online" else "offline",
                dir=new,
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
                run.summary.update({**final_numbers(result), **choices(selected)})
            if wandb.run is None:  # else the process has a run of its own, which would end too
                # the end of a run returns before its file is whole; this waits for it
                wandb.teardown()
            for path in (new / "wandb").iterdir():  # where W&B has put it
                path.rename(new / path.name)
            (new / "wandb").rmdir()
        if self.mode == "online":
            return f"W&B: {run.url}"
        (place,) = folder.glob("offline-run-*")
        return f"W&B: offline run, upload it with: wandb sync {os.path.relpath(place)}"


def _log_epochs(run: Any, directory: RunDirectory) -> None:
    """Every number of every epoch, against the epoch of its own training, when it was."""
    lines = directory.history()
    for name in dict.fromkeys(name for line in lines for name in epoch_numbers(line)):
        run.define_metric(name, step_metric="epoch")
    for line in lines:
        when = {"_timestamp": line["time"]} if "time" in line else {}
        run.log({"epoch": line["epoch"], **epoch_numbers(line), **when})


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
