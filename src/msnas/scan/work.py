"""The units of work that a scan launches, and their states. Imports no PyTorch."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, final

from msnas.code import code_of
from msnas.errors import ConfigError
from msnas.identity import digest, entry_name, training_identity
from msnas.locks import is_held
from msnas.plan import Plan
from msnas.results.result import Result
from msnas.run_directory import RunDirectory

ATTEMPTS = 2
"""A run that has failed this often is not repeated; failures of the engine do not count."""


class Work(ABC):
    """One job of a launcher: the overrides it gets, and whether it must be launched (again)."""

    def __init__(self, launched_as: list[str]) -> None:
        self.launched_as = launched_as

    @property
    @abstractmethod
    def left(self) -> bool:
        """Whether the work must still be launched."""

    @abstractmethod
    def look(self) -> None:
        """Update the state of the work."""

    @abstractmethod
    def answered(self, answer: dict[str, Any]) -> None:
        """Take a worker's answer (see `msnas.scan.job`)."""


@final
class PretrainingWork(Work):
    """One candidate's pre-training, for all runs that need it."""

    def __init__(self, launched_as: list[str], *, entry: Path) -> None:
        super().__init__(launched_as)
        self.entry = entry
        self._answered = False

    @property
    def left(self) -> bool:
        """True until it is stored, or a worker has answered (nothing to train, or an error)."""
        return not self._answered and not self.entry.is_dir()

    def look(self) -> None:
        """Does nothing: `left` looks itself."""

    def answered(self, answer: dict[str, Any]) -> None:
        """Note that a worker has answered; the runs will meet the same error and record it."""
        self._answered = True


@final
class RunWork(Work):
    """One run, by its directory. `state` is new, partial, running, finished or failed.

    `overrides` are what the user asked for; `launched_as` adds the settings that a scan decides.
    """

    def __init__(
        self, overrides: list[str], plan: Plan, *, launched_as: list[str], force: bool
    ) -> None:
        super().__init__(launched_as)
        self.overrides = overrides
        self.plan = plan
        self.key = plan.key
        self.directory = RunDirectory(plan.directory)
        self.result: Result | None = None
        self.state = "new"
        self._record: dict[str, Any] | None = None
        self._stale = self._modified() if force else None
        self._seen: int | None = None
        self._errors: list[dict[str, Any]] = []
        self.look()

    @property
    def left(self) -> bool:
        """Whether the run is neither finished nor failed twice."""
        return self.result is None and self.attempts < ATTEMPTS

    @property
    def failure(self) -> dict[str, Any] | None:
        """The record of the run's failure, from its directory or else from a worker's answer."""
        if self._record is None and self._errors:
            return {**self._errors[-1], "attempts": len(self._errors)}
        return self._record

    @property
    def attempts(self) -> int:
        """How often the run has failed; failures of the engine do not count."""
        return int(self.failure["attempts"]) if self.failure else 0

    @property
    def method(self) -> str:
        """The name of the run's method."""
        return str(self.plan.config["method"]["name"])

    @cached_property
    def events(self) -> str:
        """What decides the run's events, but for their split; runs of others are not comparable."""
        return digest(
            {name: value for name, value in self.plan.data_identity.items() if name != "split_seed"}
        )

    @property
    def seconds(self) -> float | None:
        """Time [s] that the run's trainings took; None if it is not finished."""
        return None if self.result is None else self.result.seconds_here

    def look(self) -> None:
        """Update the state; read the run directory again if its result has changed."""
        modified = self._modified()
        if modified is not None and modified == self._stale:
            self.state = "new"  # force=true: this result is to be replaced
            return
        if modified != self._seen:
            record = self.directory.readable()
            whole = record.get("status") == "finished" and not self.directory.damage(record)
            config, place = self.plan.config, self.directory.path
            self.result = Result.of(record, config=config, directory=place) if whole else None
            self._record = record if record.get("status") == "failed" else None
            self._seen = modified
        if self.result is not None:
            self.state = "finished"
        elif is_held(self.directory.lock):
            self.state = "running"
        elif self.failure is not None:
            self.state = "failed"
        else:
            self.state = "partial" if self.directory.path.is_dir() else "new"

    def answered(self, answer: dict[str, Any]) -> None:
        """Keep an error that the run could not write into its directory."""
        if answer.get("key") not in (None, self.key):
            error = f"done as {answer['key']}: the configuration or the code has changed meanwhile"
            answer = {"error": f"{error}; start the scan again", "traceback": ""}
        if answer["error"] is not None and self.directory.failure() is None:
            self._errors.append(answer)

    def forget_failure(self) -> None:
        """Remove the record of a failure, so that the run counts as new."""
        if self._record is not None:
            self.directory.drop_result()
            self.look()

    def _modified(self) -> int | None:
        try:
            return os.stat(self.directory.path / "result.json").st_mtime_ns
        except OSError:
            return None


@final
class ImpossibleRun:
    """A combination of settings that makes no valid run, and its error."""

    def __init__(self, overrides: list[str], *, error: str, traceback: str = "") -> None:
        self.overrides = overrides
        self.error = error
        self.traceback = traceback


def folds_of(runs: Sequence[RunWork]) -> list[RunWork]:
    """The folds of the cross-fitted runs among `runs`, each fold a run of its own."""
    return [
        RunWork(
            [*run.overrides, f"data.fold={number}"],
            fold,
            launched_as=[*run.launched_as, f"data.fold={number}"],
            force=fold.config["force"],
        )
        for run in runs
        for number, fold in enumerate(run.plan.folds)
    ]


def pretrainings(runs: list[RunWork]) -> list[PretrainingWork]:
    """The pre-trainings that `runs` need and the store lacks, each once.

    Some may turn out to be empty: the candidate has no parameters, or the method does not
    pre-train it.
    """
    found: dict[Path, PretrainingWork] = {}
    for run in runs:
        if not run.plan.config["pretrain"]["enabled"]:
            continue
        given = run.plan.config["method"].get("chain")  # a given chain pre-trains no others
        for level, task in enumerate(run.plan.chain):
            for name in run.plan.config["tasks"][task]["candidates"]:
                if isinstance(given, list) and name not in given[level : level + 1]:
                    continue
                entry = pretraining_entry(run.plan, level, name)
                launched_as = [*run.launched_as, f"pretrain.only={task}/{name}"]
                found.setdefault(entry, PretrainingWork(launched_as, entry=entry))
    return [work for work in found.values() if work.left]


def pretraining_entry(plan: Plan, level: int, name: str) -> Path:
    """Where `StageTrainer.train` keeps the pre-training of a candidate."""
    identity = training_identity(
        "pretrain",
        f"{plan.chain[level]}/{name}",
        training=plan.pretraining_identity(level, name),
        settings="pretrain",
        recipe=plan.config["recipe"],
        data=plan.data_identity,
        machine=plan.machine,
        seed=plan.config["seed"],
    )
    return plan.output / "cache" / "pretrain" / entry_name(identity, code_of(identity))


def refuse_in_scan(plan: Plan) -> None:
    """Raise ConfigError for settings that a scan sets itself."""
    if (only := plan.config["pretrain"]["only"]) is not None:
        raise ConfigError(
            f"pretrain.only={only}: a scan pre-trains each candidate itself; leave it out"
        )
