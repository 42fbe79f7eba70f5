"""The tracker that writes for TensorBoard."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from msnas.report.tracker import Tracker, choices, epoch_numbers, final_numbers
from msnas.results.alike import OWN_COLUMNS, column, settings_of, within
from msnas.results.result import Result
from msnas.run_directory import RunDirectory
from msnas.storage import whole_folder

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"

BEGUN = "begun"
"""A file that marks the folder of a run at work; it is removed when the mirror is whole."""


@final
class TensorBoardTracker(Tracker):
    """Writes an event file into the folder `tensorboard` of the run directory.

    It holds the numbers of every epoch at the time of its training, the final numbers as
    `final/<part>/<name>`, and for the tab HPARAMS what was chosen and every setting that can
    change a number. While the run is at work, the file holds the epochs that have ended.
    """

    def __init__(self) -> None:
        self._writer: SummaryWriter | None = None

    def missing(self, directory: RunDirectory) -> bool:
        """Whether the folder is missing or still that of a run at work."""
        folder = directory.path / FOLDER
        return not folder.exists() or (folder / BEGUN).exists()

    def epoch(self, directory: RunDirectory, line: Mapping[str, Any]) -> None:
        """Write the numbers of the epoch; the first epoch replaces an earlier folder."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            folder = directory.path / FOLDER
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            (folder / BEGUN).touch()
            self._writer = SummaryWriter(str(folder))
        _write(self._writer, line)
        self._writer.flush()

    def leave(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def mirror(self, directory: RunDirectory, result: Mapping[str, Any]) -> str:
        """Write the event file; say how to look at it."""
        self.leave()
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        folder = directory.path / FOLDER
        lines = directory.history()
        settings = _settings(directory, result)
        with whole_folder(folder) as new, SummaryWriter(str(new)) as writer:
            # not by `add_hparams`: it makes a run of its own, and says which settings and metrics
            # there are for all runs that are shown beside this one
            _, start, end = hparams(settings, {})  # type: ignore[no-untyped-call]
            writer.file_writer.add_summary(start)
            for line in lines:
                _write(writer, line)
            for name, value in final_numbers(result).items():
                writer.add_scalar(f"final/{name}", value)
            writer.file_writer.add_summary(end)
        return f"TensorBoard: tensorboard --logdir {folder}"


def _write(writer: SummaryWriter, line: Mapping[str, Any]) -> None:
    for name, value in epoch_numbers(line).items():
        writer.add_scalar(name, value, line["epoch"], walltime=line.get("time"))


def _settings(directory: RunDirectory, result: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are texts or numbers; empty mappings are left out."""
    run = Result.of(result, config=directory.config(), directory=directory.path)
    settings = settings_of(run)
    told = {key: column(key, [settings])[0] for key in settings if not within(key, OWN_COLUMNS)}
    found = {"problem": run.problem, "method": run.method, **choices(run), **told}
    return {key: value for key, value in found.items() if isinstance(value, str | int | float)}
