"""The job of a scan's worker. Imports no PyTorch until there is work to do."""

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
"""The `key` of the finished run, or an `error` (None if all went well) and its `traceback`."""


@final
@dataclass(frozen=True)
class Share:
    """Overrides of works that several workers on one machine divide among themselves.

    The worker that creates the file of a work in the folder `claims` does this work. `folders`
    and `config_name` are the arguments of `Composer`.
    """

    works: tuple[tuple[str, ...], ...]
    claims: Path
    folders: tuple[str, ...]
    config_name: str | None

    def claim(self, place: int) -> bool:
        """Claim the work at this place of `works` for the caller; False if another has it."""
        try:
            (self.claims / str(place)).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


@final
@dataclass(frozen=True)
class ScanJob:
    """One run or pre-training in the scan's working `folder`, on any machine; or a `share`.

    The job prints nothing: a run's `log` has it all. An error becomes the answer, so that no
    engine stops other jobs because of it. The job does not outlive the scan.
    """

    folder: Path
    tether: Tether
    share: Share | None = None

    def __call__(self, cfg: DictConfig) -> dict[int, Answer]:
        """Do the job; return the answers by the place of the work: 0, or its place in the share."""
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
