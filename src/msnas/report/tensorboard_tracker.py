"""TensorBoard."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any, final

from msnas.report.tracker import Tracker, epoch_numbers, final_numbers
from msnas.run_directory import RunDirectory


@final
class TensorBoardTracker(Tracker):
    """Writes event files into the folder `tensorboard` of the run directory."""

    def mirror(self, directory: RunDirectory, result: Mapping[str, Any]) -> str:
        """Write all epochs and the final numbers."""
        from torch.utils.tensorboard import SummaryWriter

        folder = directory.path / "tensorboard"
        shutil.rmtree(folder, ignore_errors=True)
        with SummaryWriter(str(folder)) as writer:
            for line in directory.history():
                for name, value in epoch_numbers(line).items():
                    writer.add_scalar(name, value, line["epoch"])
            for name, value in final_numbers(result).items():
                writer.add_scalar(f"final/{name}", value)
        return f"TensorBoard: tensorboard --logdir {folder}"
