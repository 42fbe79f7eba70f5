"""Run directories read back: the finished ones, and why the others are not. Imports no PyTorch."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from msnas.errors import DataError
from msnas.run_directory import RunDirectory

SCHEMA = 1

NEEDED = (
    "problem",
    "method",
    "seed",
    "task_weights",
    "selected",
    "metrics",
    "directions",
    "chains",
    "data",
)
"""Keys of result.json that every reader may rely on."""

NEEDED_SETTINGS = ("problem", "tasks", "data", "method")
"""The same of config.yaml."""

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
        weights = self.result["task_weights"] or {}
        return [task for task in self.tasks if task in weights]

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
    absolute. What is inside a run directory is not looked at. Raises DataError for a missing
    folder or an unreadable list.
    """
    directories: dict[Path, _Place] = {}
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"runs: {folder} is not a folder (looked in {Path.cwd()})")
        for place, below, files in os.walk(folder):
            below[:] = sorted(name for name in below if not name.startswith("."))
            if SCAN in files:
                below.clear()
                found = _listed(Path(place))
            elif FILES.intersection(files):
                below.clear()
                found = [_Place(Path(place))]
            else:
                continue
            for one in found:
                directories.setdefault(one.directory.resolve(), one)
    finished: list[FinishedRun] = []
    others: list[OtherRun] = []
    for one in directories.values():
        run = _read(one.directory) if one.directory.is_dir() else one.missing()
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
    try:
        content = json.loads(path.read_text())
        if content["schema"] != SCHEMA:
            raise DataError(f"{path}: schema {content['schema']!r}, expected {SCHEMA}")
        return [
            _Place(
                folder / one["directory"],
                overrides=" ".join(one.get("overrides") or []),
                status=str(one.get("status") or ""),
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
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} cannot be read: {type(error).__name__}: {error}") from error


def _read(directory: Path) -> FinishedRun | OtherRun:
    run = RunDirectory(directory)

    def other(reason: str) -> OtherRun:
        return OtherRun(directory=directory, reason=reason)

    try:
        result = run.result()
        if result is None:
            return other(_why_unfinished(run.log))
        config = run.config()
    except (DataError, OSError, ValueError, yaml.YAMLError) as error:
        kind = "result.json" if isinstance(error, json.JSONDecodeError) else "its files"
        return other(f"{kind} cannot be read: {_one_line(error)}")
    if not isinstance(result, dict) or not isinstance(config, dict):
        return other("result.json and config.yaml must hold a mapping each")
    if result.get("schema") != SCHEMA:
        return other(f"result.json: schema {result.get('schema')!r}, expected {SCHEMA}")
    if (status := result.get("status", "finished")) != "finished":
        told = f": {result['error']}" if result.get("error") else ""
        return other(f"{status}{told}")
    for name, found, needed in (
        ("result.json", result, NEEDED),
        ("config.yaml", config, NEEDED_SETTINGS),
    ):
        if missing := [key for key in needed if key not in found]:
            return other(f"{name}: missing {', '.join(missing)}")
    return FinishedRun(directory=directory, config=config, result=result)


def _why_unfinished(log: Path) -> str:
    """Failed, with the error's line, if that is the last the log tells; else unfinished."""
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    lines = [line for line in lines if line.strip()]
    told = [found[1] for line in lines if (found := LOG_LINE.match(line))]
    if told and told[-1].startswith("the run ended with an error"):
        return f"failed: {lines[-1].strip()}"
    if told:
        return f"unfinished or still running; last in its log: {told[-1]}"
    return "unfinished or still running"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
