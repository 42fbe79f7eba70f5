"""Run directories read back: the finished ones, and why the others are not. Imports no PyTorch."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msnas.errors import DataError, one_line
from msnas.results.schema import check_scan
from msnas.run_directory import RunDirectory
from msnas.storage import last_lines, read_record

FILES = frozenset({"config.yaml", "result.json", "log"})
"""A folder that holds one of these is a run directory."""

SCAN = "scan.json"
"""A folder that holds one is a scan: its runs are those that the file lists."""

LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ \w+ (.*)$")


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run's resolved configuration and its result."""

    directory: Path
    config: Mapping[str, Any]
    result: Mapping[str, Any]

    @property
    def seed(self) -> int:
        """The training seed."""
        return int(self.result["seed"])

    @property
    def method(self) -> str:
        """Name of the method."""
        return str(self.result["method"])

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks in the order of the chain."""
        return list(self.config["problem"]["chain"])

    @property
    def supervised(self) -> list[str]:
        """Names of the tasks with a loss, in the order of the chain: those that have a weight."""
        return [task for task in self.tasks if task in self.result["task_weights"]]

    @property
    def selected(self) -> tuple[str, ...]:
        """The selected candidate of each task."""
        return tuple(self.result["selected"][task] for task in self.tasks)

    @property
    def candidates(self) -> list[list[str]]:
        """Names of the candidates of each task."""
        return [list(self.config["tasks"][task]["candidates"]) for task in self.tasks]


@dataclass(frozen=True, kw_only=True)
class OtherRun:
    """A run directory that cannot be used, and why."""

    directory: Path
    reason: str


def collect_runs(folders: Sequence[Path]) -> tuple[list[FinishedRun], list[OtherRun]]:
    """All run directories below `folders` (which may be run directories), in order of their paths.

    A folder with a `scan.json` means exactly the runs it lists, as {"schema": 1, "runs":
    [{"directory", "overrides", "status"}, ...]} with directories relative to the folder or
    absolute. What is inside a run directory is not looked at. Raises DataError if one of
    `folders` is missing or is a scan whose list is unreadable; a deeper one is named only.
    """
    directories: dict[Path, _Place] = {}
    others: list[OtherRun] = []
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"runs: {folder} is not a folder (looked in {Path.cwd()})")
        for place, below, files in os.walk(folder):
            below[:] = sorted(name for name in below if not name.startswith("."))
            if SCAN in files:
                below.clear()
                try:
                    found = _listed(Path(place))
                except DataError as error:
                    if Path(place) == folder:
                        raise
                    others.append(OtherRun(directory=Path(place), reason=one_line(error)))
                    continue
            elif FILES.intersection(files):
                below.clear()
                found = [_Place(Path(place))]
            else:
                continue
            for one in found:
                directories.setdefault(Path(os.path.realpath(one.directory)), one)
    finished: list[FinishedRun] = []
    for one in directories.values():
        run = _read(one.directory) if os.path.isdir(one.directory) else one.missing()
        if isinstance(run, FinishedRun):
            finished.append(run)
        else:
            others.append(run)
    return finished, others


@dataclass(frozen=True)
class _Place:
    """Where a run is or will be; a scan also knows its overrides and its state."""

    directory: Path
    overrides: str = ""
    status: str = ""

    def missing(self) -> OtherRun:
        """Why there is no directory."""
        told = f" ({self.overrides})" if self.overrides else ""
        reason = "not started" if self.status in ("", "left", "finished", "done") else self.status
        return OtherRun(directory=self.directory, reason=f"{reason}{told}")


def _listed(folder: Path) -> list[_Place]:
    """The runs of a scan, in its order; raise DataError for a list that cannot be read."""
    path = folder / SCAN
    content = read_record(path)
    check_scan(content, where=str(path))
    return [
        _Place(
            folder / one["directory"],
            overrides=" ".join(one.get("overrides") or []),
            status=one.get("status") or "",
        )
        for one in content["runs"]
    ] + [
        _Place(
            folder / "no run" / str(number),
            overrides=" ".join(one["overrides"]),
            status=f"no run: {one['error']}",
        )
        for number, one in enumerate(content.get("impossible") or [])
    ]


def _read(directory: Path) -> FinishedRun | OtherRun:
    run = RunDirectory(directory)
    try:
        result = run.result()
        if result is None:
            reason = _why_unfinished(run.log)
        elif (status := result.get("status", "finished")) != "finished":
            reason = f"{status}: {result['error']}" if result.get("error") else status
        else:
            config, result = run.read()
            return FinishedRun(directory=directory, config=config, result=result)
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
