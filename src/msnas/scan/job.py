"""What a worker does for a scan. Imports no PyTorch until there is work to do."""

from __future__ import annotations

import os
import traceback
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from omegaconf import DictConfig

from msnas.scan.tether import Tether


@final
@dataclass(frozen=True)
class ScanJob:
    """A run (or one pre-training) in the scan's own `folder`, on whatever machine it is.

    Says nothing on the screen: a run's `log` has it all. An error becomes the answer, so that no
    engine stops the others for it. It does not outlive the scan.
    """

    folder: Path
    tether: Tether

    def __call__(self, cfg: DictConfig) -> dict[str, Any]:
        """Do it; answer the `key`, or an `error` (None if all went well) and its `traceback`."""
        from msnas.errors import one_line
        from msnas.run import run
        from msnas.terminal import terminal

        self.tether()
        os.chdir(self.folder)
        with (
            open(os.devnull, "w") as nowhere,
            redirect_stdout(nowhere),
            redirect_stderr(nowhere),
        ):
            try:
                result = run(cfg, console=terminal(file=nowhere))
            except Exception as error:
                text = "".join(traceback.format_exception(error))
                return {"error": one_line(error), "traceback": text}
        return {"key": result.get("key"), "error": None, "traceback": ""}
