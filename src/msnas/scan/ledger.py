"""The states of all runs of a scan, and its file `scan.json`. Imports no PyTorch."""

from __future__ import annotations

import os
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

from msnas.folders import entries
from msnas.run_directory import RunDirectory
from msnas.scan.work import ImpossibleRun, RunWork
from msnas.storage import write_record


@final
class Ledger:
    """The runs of the scan in `folder`, and the state of each run."""

    def __init__(
        self,
        folder: Path,
        runs: Sequence[RunWork],
        impossible: Sequence[ImpossibleRun],
        *,
        command: Sequence[str],
    ) -> None:
        self.folder = folder
        self.runs: list[RunWork] = []
        self.impossible = list(impossible)
        self.command = list(command)
        self.workers = 1
        self._finished_before: set[str] = set()
        self._written: list[str] | None = None
        self._shared: set[str] | None = None
        self.add(runs)

    def add(self, runs: Sequence[RunWork]) -> None:
        """Add runs to the scan."""
        self._finished_before |= {run.key for run in runs if run.state == "finished"}
        self.runs += runs
        self._shared = None

    def look(self) -> None:
        """Update the states of the unfinished runs; a new run without any file stays new."""
        places = {run.directory.path.parent for run in self.runs if run.state == "new"}
        there = {path.name.split(".")[0] for place in places for path in entries(place)}
        for run in self.runs:
            if run.state != "finished" and (run.state != "new" or run.key in there):
                run.look()
        self.workers = max(self.workers, self.states()["running"])

    def varied(self, overrides: Sequence[str]) -> str:
        """The overrides of a run that not all runs of the scan share."""
        if self._shared is None:
            everyone = [set(one.overrides) for one in self.runs]
            everyone += [set(one.overrides) for one in self.impossible]
            self._shared = set.intersection(*everyone) if len(everyone) > 1 else set()
        return " ".join(one for one in overrides if one not in self._shared)

    def states(self) -> Counter[str]:
        """How many runs are in each state; impossible runs count as failed."""
        states = Counter(run.state for run in self.runs)
        states["failed"] += len(self.impossible)
        return states

    @property
    def failed(self) -> int:
        """Number of runs that have failed, or could not even be composed."""
        return self.states()["failed"]

    @property
    def unfinished(self) -> list[RunWork]:
        """Runs without a result."""
        return [run for run in self.runs if run.state != "finished"]

    def seconds_left(self) -> float | None:
        """Estimate the time left [s] from each method's median time and the number of workers.

        A method without a finished run gets the median of all methods; None if no run is finished.
        """
        finished = [run for run in self.runs if run.seconds is not None]
        recent = [run for run in finished if run.key not in self._finished_before] or finished
        if not recent:
            return None
        times: dict[str, list[float]] = {}
        for run in recent:
            times.setdefault(run.method, []).append(run.seconds or 0.0)
        overall = statistics.median(time for own in times.values() for time in own)
        medians = {method: statistics.median(own) for method, own in times.items()}
        left = [run.method for run in self.runs if run.left]
        return sum(medians.get(method, overall) for method in left) / self.workers

    def write(self) -> None:
        """Write `scan.json` whole or not at all, if something has changed."""
        states = [run.state for run in self.runs]
        if states == self._written:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        write_record(self.folder / "scan.json", self._content(), alone=False)
        self._written = states

    def _content(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "name": self.folder.name,
            "command": self.command,
            "runs": [
                {
                    "key": run.key,
                    "directory": os.path.relpath(run.directory.path, self.folder),
                    "overrides": run.overrides,
                    "status": run.state,
                }
                for run in self.runs
            ],
            "impossible": [
                {"overrides": one.overrides, "error": one.error} for one in self.impossible
            ],
        }


def seconds_of_method(run: RunWork) -> float | None:
    """Median time [s] of finished runs of the same problem and method; None without such a run."""
    times = []
    for directory in entries(run.directory.path.parent):
        try:
            result = RunDirectory(directory).finished()
            if result is not None:
                times.append(sum(float(one["seconds"]) for one in result["stages"].values()))
        except (OSError, KeyError):
            continue  # the estimate leaves out unreadable runs
    return statistics.median(times) if times else None


def as_time(seconds: float) -> str:
    """A time in seconds as hours, minutes and seconds.

    >>> as_time(3725)
    '1:02:05'
    """
    return time.strftime(f"{int(seconds) // 3600}:%M:%S", time.gmtime(seconds))
