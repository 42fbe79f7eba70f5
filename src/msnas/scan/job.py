"""What a worker does for a scan. Imports no PyTorch until there is work to do."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, final

from omegaconf import DictConfig
from rich.console import Console

from msnas.scan.compose import Composer
from msnas.scan.tether import Tether
from msnas.terminal import terminal

Answer = dict[str, Any]
"""The `key` of what was done, or an `error` (None if all went well) and its `traceback`."""


@final
@dataclass(frozen=True)
class Share:
    """Overrides of works that several workers on one machine share out among themselves.

    Who makes the file of a work in the folder `claims` does it. `folders` and `config_name` are
    what a `Composer` takes.
    """

    works: tuple[tuple[str, ...], ...]
    claims: Path
    folders: tuple[str, ...]
    config_name: str | None

    def claim(self, place: int) -> bool:
        """Whether the work at `place` was still free; it is the caller's now."""
        try:
            (self.claims / str(place)).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


@final
@dataclass(frozen=True)
class ScanJob:
    """A run or pre-training in the scan's own `folder`, on whatever machine it is; or a `share`.

    Says nothing on the screen: a run's `log` has it all. An error becomes the answer, so that no
    engine stops the others for it. It does not outlive the scan.
    """

    folder: Path
    tether: Tether
    share: Share | None = None

    def __call__(self, cfg: DictConfig) -> dict[int, Answer]:
        """Do it; the answers by the place of the work: 0, or that in the share."""
        self.tether()
        os.chdir(self.folder)
        with (
            open(os.devnull, "w") as nowhere,
            redirect_stdout(nowhere),
            redirect_stderr(nowhere),
        ):
            console = terminal(file=nowhere)
            if self.share is None:
                return {0: _answer(cfg, console)}
            composer = _composer(self.share.folders, self.share.config_name)
            return {
                place: _answer(composer.values(overrides), console)
                for place, overrides in enumerate(self.share.works)
                if self.share.claim(place)
            }


@cache
def _composer(folders: tuple[str, ...], config_name: str | None) -> Composer:
    return Composer(folders, config_name)


def _answer(cfg: DictConfig | Mapping[str, Any], console: Console) -> Answer:
    from msnas.errors import one_line
    from msnas.run import run

    try:
        result = run(cfg, console=console, of_scan=True)
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        return {"error": one_line(error), "traceback": text}
    return {"key": result.get("key"), "error": None, "traceback": ""}
