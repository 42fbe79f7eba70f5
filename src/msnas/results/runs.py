"""Run directories read back, and as tables. Imports no PyTorch.

    runs = collect([Path("runs/htautau")])
    runs.table      # tidy: a row for every run, condition, part and quantity
    runs.wide       # a row for every run: what the report writes as results.csv

Raises DataError for a folder that is not there; a run that cannot be used is in `runs.others`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msnas.errors import DataError, one_line
from msnas.results.frame import conditions_frame, tidy_frame, wide_frame
from msnas.results.quantity import Quantities, quantities_of
from msnas.results.result import Result
from msnas.results.schema import check_scan
from msnas.run_directory import RunDirectory
from msnas.storage import last_lines, read_record

if TYPE_CHECKING:
    import pandas as pd

FILES = frozenset({"config.yaml", "result.json", "log"})
"""A folder that holds one of these is a run directory."""

SCAN = "scan.json"
"""A folder that holds one is a scan: its runs are those that the file lists."""

LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ \w+ (.*)$")


@dataclass(frozen=True, kw_only=True)
class OtherRun:
    """A run directory that cannot be used, and why."""

    directory: Path
    reason: str


@dataclass(frozen=True)
class Runs:
    """Finished runs, and the others with a reason each."""

    finished: Sequence[Result]
    others: Sequence[OtherRun] = ()

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for every run, condition, part and quantity: see `tidy_frame`."""
        return tidy_frame(self.finished)

    @cached_property
    def wide(self) -> pd.DataFrame:
        """A row for every run, in their order: see `wide_frame`."""
        return wide_frame(self.finished)

    @cached_property
    def conditions(self) -> pd.DataFrame:
        """A row for every condition of runs trained for a range of them: see `conditions_frame`."""
        return conditions_frame(self.finished, self.wide)

    @cached_property
    def quantities(self) -> Quantities:
        """The first and the last task's metric, and validity; the runs are of one problem."""
        return quantities_of(self.finished)

    def by_problem(self) -> dict[str, Runs]:
        """The finished runs of each problem."""
        found: dict[str, list[Result]] = {}
        for run in self.finished:
            found.setdefault(run.problem, []).append(run)
        return {problem: Runs(runs) for problem, runs in found.items()}


def collect(folders: Sequence[Path]) -> Runs:
    """All run directories below `folders` (which may be run directories), in order of their paths.

    A folder with a `scan.json` means exactly the runs it lists, as {"schema": 1, "runs":
    [{"directory", "overrides", "status"}, ...]} with directories relative to the folder or
    absolute. What is inside a run directory is not looked at. Raises DataError if one of
    `folders` is missing or is a scan whose list is unreadable; a deeper one is named only.
    """
    directories: dict[Path, _Listed] = {}
    others: list[OtherRun] = []
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"runs: {folder} is not a folder (looked in {Path.cwd()})")
        for place, below, files in os.walk(folder):
            below[:] = sorted(name for name in below if not name.startswith("."))
            if SCAN not in files and not FILES.intersection(files):
                continue
            below.clear()
            try:
                found = list(_listed(Path(place))) if SCAN in files else [_Listed(Path(place))]
            except DataError as error:
                if Path(place) == folder:
                    raise
                others.append(OtherRun(directory=Path(place), reason=one_line(error)))
                continue
            for run in found:
                directories.setdefault(Path(os.path.realpath(run.directory)), run)
    read = [
        _read(run.directory) if os.path.isdir(run.directory) else run.missing()
        for run in directories.values()
    ]
    finished = [run for run in read if isinstance(run, Result)]
    return Runs(finished, [*others, *(run for run in read if isinstance(run, OtherRun))])


@dataclass(frozen=True)
class _Listed:
    """Where a run is or will be; a scan also knows its overrides and its state."""

    directory: Path
    overrides: str = ""
    status: str = ""

    def missing(self) -> OtherRun:
        """Why there is no directory."""
        told = f" ({self.overrides})" if self.overrides else ""
        reason = "not started" if self.status in ("", "left", "finished", "done") else self.status
        return OtherRun(directory=self.directory, reason=f"{reason}{told}")


def _listed(folder: Path) -> Iterator[_Listed]:
    """The runs of a scan, in its order; raise DataError for a list that cannot be read."""
    path = folder / SCAN
    content = read_record(path)
    check_scan(content, where=str(path))
    for run in content["runs"]:
        overrides = " ".join(run.get("overrides") or [])
        directory = folder / run["directory"]
        if ".." in directory.parts:  # the same folder by its own name
            directory = Path(os.path.realpath(directory))
        yield _Listed(directory, overrides, run.get("status") or "")
    for number, run in enumerate(content.get("impossible") or []):
        place = folder / "no run" / str(number)
        yield _Listed(place, " ".join(run["overrides"]), f"no run: {run['error']}")


def _read(directory: Path) -> Result | OtherRun:
    run = RunDirectory(directory)
    try:
        record = run.result()
        if record is None:
            reason = _why_unfinished(run.log)
        elif (status := record.get("status", "finished")) != "finished":
            reason = f"{status}: {record['error']}" if record.get("error") else status
        else:
            return Result.read(directory, record)
    except (DataError, OSError) as error:
        reason = one_line(error).replace(f"{directory}{os.sep}", "", 1)
    return OtherRun(directory=directory, reason=reason)


def _why_unfinished(log: Path) -> str:
    """Failed, with the error's line, if that is the last the log tells; else unfinished."""
    lines = [line for line in last_lines(log) if line.strip()] if log.is_file() else []
    told = [found[1] for line in lines if (found := LOG_LINE.match(line))]
    if told and told[-1].startswith("the run ended with an error"):
        return f"failed: {lines[-1].strip()}"
    if told:
        return f"unfinished or still running; last in its log: {told[-1]}"
    return "unfinished or still running"
