"""Something to launch, and what is known about it. Imports no PyTorch."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

from msnas.code import code_of
from msnas.errors import ConfigError
from msnas.identity import entry_name, training_identity
from msnas.locks import is_held
from msnas.plan import Plan
from msnas.results.result import Result
from msnas.run_directory import RunDirectory

ATTEMPTS = 2
"""A run that has failed so often by itself is not repeated."""


class Work(ABC):
    """One job of a launcher: the overrides it gets, and whether it must be launched (again)."""

    def __init__(self, launched_as: list[str]) -> None:
        self.launched_as = launched_as

    @property
    @abstractmethod
    def left(self) -> bool:
        """Whether there is something to do."""

    @abstractmethod
    def look(self) -> None:
        """See how far it is."""

    @abstractmethod
    def answered(self, answer: dict[str, Any]) -> None:
        """Take a worker's answer: see `ScanJob`."""


@final
class PretrainingWork(Work):
    """One candidate's pre-training, for all runs that want it."""

    def __init__(self, launched_as: list[str], *, entry: Path) -> None:
        super().__init__(launched_as)
        self.entry = entry
        self._answered = False

    @property
    def left(self) -> bool:
        """Until it is in the store, or a worker has come back without (nothing to train)."""
        return not self._answered and not self.entry.is_dir()

    def look(self) -> None:
        """Nothing is kept."""

    def answered(self, answer: dict[str, Any]) -> None:
        """An error will be that of the runs too, which record it."""
        self._answered = True


@final
class RunWork(Work):
    """One run, by its directory. `state` is new, partial, running, finished or failed.

    `overrides` are what the user asked for; it is launched with what was decided here besides.
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
        """Neither finished nor failed twice."""
        return self.result is None and self.attempts < ATTEMPTS

    @property
    def failure(self) -> dict[str, Any] | None:
        """The record of its failure, from its directory or, failing that, from a worker."""
        if self._record is None and self._errors:
            return {**self._errors[-1], "attempts": len(self._errors)}
        return self._record

    @property
    def attempts(self) -> int:
        """How often it has failed by itself."""
        return int(self.failure["attempts"]) if self.failure else 0

    @property
    def method(self) -> str:
        """The name of its method."""
        return str(self.plan.config["method"]["name"])

    @property
    def seconds(self) -> float | None:
        """What its trainings took, if it is finished."""
        return None if self.result is None else self.result.seconds_here

    def look(self) -> None:
        """Read the run directory anew, if something has changed there."""
        modified = self._modified()
        if modified is not None and modified == self._stale:
            self.state = "new"  # force=true: this one is to be replaced
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
        """Make a failed run a new one."""
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
    """A combination of settings that is no run."""

    def __init__(self, overrides: list[str], *, error: str, traceback: str = "") -> None:
        self.overrides = overrides
        self.error = error
        self.traceback = traceback


def folds_of(runs: Sequence[RunWork]) -> list[RunWork]:
    """The folds of `runs` that are put together from some, each a run of its own."""
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
    """The pre-trainings that `runs` want and the store lacks, each once.

    Some of them may turn out to be nothing: a candidate without parameters, or one the method
    does not pre-train.
    """
    found: dict[Path, PretrainingWork] = {}
    for run in runs:
        if not run.plan.config["pretrain"]["enabled"]:
            continue
        given = run.plan.config["method"].get("chain")  # it pre-trains no other candidates
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
        raise ConfigError(f"pretrain.only={only}: a scan does that itself; leave it out")
