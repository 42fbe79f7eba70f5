"""The tracker that writes for Weights & Biases."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from msnas.errors import ConfigError
from msnas.report.tracker import Tracker, choices, epoch_numbers, final_numbers
from msnas.results.result import Result
from msnas.run_directory import RunDirectory
from msnas.storage import whole_folder

FOLDER = "wandb"

LIVE = ".wandb.live"
"""The folder of a W&B run whose run is at work."""


@dataclass(frozen=True, kw_only=True)
class _Begun:
    """A W&B run in the folder `place`, and the epochs sent to it as (stage, model, epoch)."""

    run: Any
    place: Path
    told: set[tuple[Any, ...]] = field(default_factory=set)

    def tell(self, line: Mapping[str, Any]) -> None:
        """Log an epoch once, at the time of its training, against its number in that training."""
        name = (line["stage"], line["model"], line["epoch"])
        if name not in self.told:
            self.told.add(name)
            numbers = epoch_numbers(line)
            for one in numbers:
                self.run.define_metric(one, step_metric="epoch")
            when = {"_timestamp": line["time"]} if "time" in line else {}
            self.run.log({"epoch": line["epoch"], **numbers, **when})


@final
class WandbTracker(Tracker):
    """One W&B run per run; offline it is written at its end, without account or network.

    Online every epoch is sent as it ends, and the rest at the end of the run.

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
        self._begun: _Begun | None = None

    def missing(self, directory: RunDirectory) -> bool:
        """Whether there is no W&B run; in mode online, whether no W&B run was sent."""
        runs = "run-*" if self.mode == "online" else "*run-*"
        return not any((directory.path / FOLDER).glob(runs))

    def epoch(self, directory: RunDirectory, line: Mapping[str, Any]) -> None:
        """Send the epoch, if that is possible at once; the first one begins the W&B run."""
        if self.mode == "online":
            if self._begun is None:
                place = directory.path / LIVE
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir()
                self._begun = self._begin(directory, place)
            self._begun.tell(line)

    def leave(self) -> None:
        """End the W&B run as one that failed."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.run.finish(exit_code=1)
            shutil.rmtree(begun.place, ignore_errors=True)

    def _begin(self, directory: RunDirectory, place: Path) -> _Begun:
        os.environ.setdefault("WANDB_SILENT", "true")
        if self.mode == "offline":  # else W&B reports on itself over the network even so
            os.environ["WANDB_ERROR_REPORTING"] = "false"
        import wandb

        logging.getLogger("wandb").setLevel(logging.ERROR)
        config, key = directory.config(), directory.path.name
        problem, method = config["problem"]["name"], config["method"]["name"]
        run = wandb.init(
            project=self.project,
            mode="online" if self.mode == "online" else "offline",
            dir=place,
            id=key,
            name=f"{problem}-{method}-{key}",
            group=self.group or problem,
            job_type=method,
            tags=[problem, method, f"seed {config['seed']}"],
            config=config,
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                x_disable_stats=True,
                reinit="create_new",  # never into another run of this process
            ),
        )
        return _Begun(run=run, place=place)

    def mirror(self, directory: RunDirectory, result: Mapping[str, Any]) -> str:
        """Write configuration, all epochs, numbers, tables and figures; say how to synchronise."""
        selected = Result.of(result, config=directory.config(), directory=directory.path)
        folder = directory.path / FOLDER
        early, self._begun = self._begun, None
        with whole_folder(folder) as new:
            begun = early or self._begin(directory, new)
            with begun.run as run:
                for line in directory.history():
                    begun.tell(line)
                run.log(_tables_and_figures(directory, result))
                run.summary.update({**final_numbers(result), **choices(selected)})
            import wandb

            if wandb.run is None:  # else the process has a run of its own, which would end too
                # the end of a run returns before its file is whole; this waits for it
                wandb.teardown()
            for path in (begun.place / "wandb").iterdir():  # where W&B has put it
                path.rename(new / path.name)
            (begun.place / "wandb").rmdir()
        if early is not None:
            shutil.rmtree(early.place, ignore_errors=True)
        if self.mode == "online":
            return f"W&B: {run.url}"
        (place,) = folder.glob("offline-run-*")
        return f"W&B: offline run, upload it with: wandb sync {os.path.relpath(place)}"


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
