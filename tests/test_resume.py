"""A run killed at any moment and started again ends as an uninterrupted one does."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from conftest import QUIET, STAGES, compose_config, epochs, small_run
from killable_run import Death, finish, start
from same_numbers import tensor_bytes, without_volatile
from scan_process import wait_for

from msnas.errors import TrainingError
from msnas.locks import file_lock
from msnas.run import run
from msnas.run_directory import RunDirectory
from msnas.stop import STOPPED


@dataclass
class Folder:
    """A folder of runs of one configuration, started once or several times."""

    event_file: Path
    path: Path
    changes: tuple[str, ...] = ()
    without_judge: bool = True

    @property
    def overrides(self) -> list[str]:
        settings = small_run(self.event_file, self.path / "runs")
        kept = [one for one in settings if not one.endswith("epochs=2")]
        if not self.without_judge:
            kept = [one.replace("validity=null", "validity.epochs=2") for one in kept]
        return [*kept, *epochs(3), *self.changes]

    @property
    def journal(self) -> Path:
        return self.path / "journal"

    def begin(
        self, name: str = "said", *, more: tuple[str, ...] = (), death: Death | None = None
    ) -> BaseProcess:
        self.path.mkdir(exist_ok=True, parents=True)
        overrides = [*self.overrides, *more]
        return start(overrides, journal=self.journal, said=self.path / name, death=death)

    def run(self, *, death: Death | None = None) -> int:
        return finish(self.begin(death=death))

    def said(self, name: str = "said") -> str:
        paths = (self.path / name, (self.path / name).with_suffix(".error"))
        return "".join(path.read_text() for path in paths)

    def directory(self) -> Path:
        (found,) = (one for one in (self.path / "runs/htautau/spos").iterdir() if one.is_dir())
        return found

    def result(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.directory() / "result.json").read_text())
        return loaded

    def epochs(self) -> Counter[str]:
        """How often each epoch (class, seed of the training, number) was begun."""
        return Counter(self.journal.read_text().splitlines())

    def numbers(self) -> dict[str, Any]:
        """Everything that must not depend on interruptions."""
        directory = self.directory()
        lines = (directory / "history.jsonl").read_text().splitlines()
        cache = self.path / "runs" / "cache"
        return {
            "result": without_volatile(self.result()),
            "history": [without_volatile(json.loads(line)) for line in lines],
            "model": tensor_bytes(directory / "model.ckpt"),
            "store": {
                path.relative_to(cache).as_posix(): tensor_bytes(path)
                for path in sorted(cache.glob("*/*/weights.pt"))
            },
        }

    def leftovers(self) -> list[Path]:
        """Half-written files and unfinished trainings.

        Without the checkpoints of a finished training: they stay where a run is killed between
        the rename that finishes it and their removal.
        """
        return [
            path
            for path in self.path.rglob("*")
            if path.suffix == ".new"
            or (path.suffix == ".partial" and not path.with_suffix("").is_dir())
        ]


@pytest.fixture(scope="module")
def uninterrupted(event_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(event_file, tmp_path_factory.mktemp("uninterrupted") / "one")
    assert folder.run() == 0, folder.said()
    assert set(folder.epochs().values()) == {1}
    # four candidates, the super-network and the chain, three epochs each
    assert folder.epochs().total() == 6 * 3
    return folder


def assert_killed_then_equal(folder: Folder, reference: Folder, death: Death) -> int:
    """Kill a run, start it again, compare; how many epochs were begun twice."""
    assert folder.run(death=death) == -signal.SIGKILL, folder.said()
    assert not list(folder.path.rglob("result.json"))
    before = folder.epochs()
    assert folder.run() == 0, folder.said()
    assert folder.numbers() == reference.numbers()
    after = folder.epochs()
    assert after.keys() == reference.epochs().keys()
    again = after - Counter(dict.fromkeys(after, 1))
    assert all(before[epoch] == 1 for epoch in again)
    assert not folder.leftovers()
    return again.total()


DEATHS = [
    (Death("in the middle of an epoch", "pretrain", 5), 1),
    (Death("in validation", "search", 2), 1),
    (Death("half a checkpoint", "pretrain", 5), 1),
    (Death("before the rename of a checkpoint", "posttrain", 1), 1),
    (Death("after the rename of a checkpoint", "search", 2), 0),
    (Death("half the weights", "search", 1), 0),
    (Death("before the rename of an entry", "pretrain", 2), 0),
    (Death("after the rename of an entry", "posttrain", 1), 0),
    (Death("in the middle of an epoch", "posttrain", 8), 1),
    (Death("half the model"), 0),
    (Death("half the result"), 0),
]
"""When, and how many epochs are trained twice: the one that was going on, if there was one."""

MORE_DEATHS = [
    (Death("in the middle of an epoch", "pretrain", 1), 1),
    (Death("in validation", "pretrain", 2), 1),
    (Death("before the rename of a checkpoint", "pretrain", 2), 1),
    (Death("after the rename of a checkpoint", "pretrain", 2), 0),
    (Death("after the rename of a checkpoint", "pretrain", 4), 0),
    (Death("half the weights", "pretrain", 3), 0),
    (Death("after the rename of an entry", "pretrain", 4), 0),
    (Death("in the middle of an epoch", "search", 5), 1),
    (Death("half a checkpoint", "search", 1), 1),
    (Death("before the rename of an entry", "search", 1), 0),
    (Death("half a checkpoint", "posttrain", 3), 1),
    (Death("before the selection"), 0),
    (Death("in the evaluation", count=1), 0),
    (Death("before the test"), 0),
    (Death("before the history"), 0),
    (Death("before the result"), 0),
]


def describe(case: Any) -> str | None:
    return f"{case.point} {case.stage} {case.count}" if isinstance(case, Death) else ""


@pytest.mark.parametrize(("death", "again"), DEATHS, ids=describe)
def test_killed_and_resumed_equals_uninterrupted(
    event_file: Path, tmp_path: Path, uninterrupted: Folder, death: Death, again: int
) -> None:
    folder = Folder(event_file, tmp_path / "killed")
    assert assert_killed_then_equal(folder, uninterrupted, death) == again


@pytest.mark.slow
@pytest.mark.parametrize(("death", "again"), MORE_DEATHS, ids=describe)
def test_killed_at_further_moments(
    event_file: Path, tmp_path: Path, uninterrupted: Folder, death: Death, again: int
) -> None:
    folder = Folder(event_file, tmp_path / "killed")
    assert assert_killed_then_equal(folder, uninterrupted, death) == again


SIGNALS = [
    Death("in the middle of an epoch", "pretrain", 5, signal.SIGINT),
    Death("in the middle of an epoch", "search", 5, signal.SIGTERM),
    Death("in validation", "posttrain", 2, signal.SIGTERM),
    Death("before the rename of an entry", "search", 1, signal.SIGINT),
    Death("before the selection", number=signal.SIGTERM),
    Death("in the evaluation", number=signal.SIGINT),
    Death("before the test", number=signal.SIGTERM),
    Death("before the result", number=signal.SIGINT),
]


@pytest.mark.parametrize("stop", SIGNALS, ids=lambda stop: f"{describe(stop)} {stop.number.name}")
def test_stopped_it_says_so_and_goes_on(
    event_file: Path, tmp_path: Path, uninterrupted: Folder, stop: Death
) -> None:
    folder = Folder(event_file, tmp_path / "stopped")
    assert folder.run(death=stop) == 128 + stop.number, folder.said()
    assert (folder.path / "said.error").read_text() == f"{STOPPED}\n"
    assert not list(folder.path.rglob("result.json"))
    assert folder.run() == 0, folder.said()
    assert folder.numbers() == uninterrupted.numbers()


def test_killed_after_the_last_epoch(
    event_file: Path, tmp_path: Path, uninterrupted: Folder
) -> None:
    folder = Folder(event_file, tmp_path / "killed")
    death = Death("after the rename of a checkpoint", "pretrain", 3)
    assert assert_killed_then_equal(folder, uninterrupted, death) == 0


PATIENCE = (
    # at this rate no weight changes: one best epoch, then two more until the patience is over
    "recipe.optimizer.lr=1e-30",
    *(f"recipe.{stage}.patience=2" for stage in STAGES),
    *epochs(9),
)


@pytest.fixture(scope="module")
def impatient(event_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(event_file, tmp_path_factory.mktemp("impatient") / "one", PATIENCE)
    assert folder.run() == 0, folder.said()
    assert folder.epochs().total() == 6 * 3
    return folder


@pytest.mark.parametrize("stage", ["pretrain", "posttrain"])
def test_killed_after_the_patience_ran_out(
    event_file: Path, tmp_path: Path, impatient: Folder, stage: str
) -> None:
    folder = Folder(event_file, tmp_path / "killed", PATIENCE)
    death = Death("after the rename of a checkpoint", stage, 3)
    assert assert_killed_then_equal(folder, impatient, death) == 0


def test_killed_while_the_patience_runs(
    event_file: Path, tmp_path: Path, impatient: Folder
) -> None:
    folder = Folder(event_file, tmp_path / "killed", PATIENCE)
    death = Death("after the rename of a checkpoint", "pretrain", 2)
    assert assert_killed_then_equal(folder, impatient, death) == 0


@pytest.mark.slow
def test_killed_while_the_judge_is_kept(event_file: Path, tmp_path: Path) -> None:
    reference, folder = (
        Folder(event_file, tmp_path / name, without_judge=False) for name in ("reference", "killed")
    )
    assert reference.run() == 0, reference.said()
    assert "validity/joint" in reference.result()["metrics"]["test"]
    death = Death("before the rename of an entry", "validity", 1)
    assert assert_killed_then_equal(folder, reference, death) == 0


@pytest.mark.slow
def test_killed_again_and_again(event_file: Path, tmp_path: Path, uninterrupted: Folder) -> None:
    folder = Folder(event_file, tmp_path / "killed")
    for stage, steps in (("pretrain", 4), ("pretrain", 7), ("search", 4), ("posttrain", 4)):
        death = Death("in the middle of an epoch", stage, steps)
        assert folder.run(death=death) == -signal.SIGKILL, folder.said()
    assert folder.run() == 0
    assert folder.numbers() == uninterrupted.numbers()


def test_a_repeated_run_that_was_killed_goes_on(
    event_file: Path, tmp_path: Path, uninterrupted: Folder
) -> None:
    """The earlier result is there until the new one is; equal numbers, each training repeated."""
    folder = Folder(event_file, tmp_path / "repeated")
    assert folder.run() == 0
    before = folder.result()
    force = ("force=true",)
    death = Death("in the middle of an epoch", "search", 5)
    assert finish(folder.begin(more=force, death=death)) == -signal.SIGKILL
    assert folder.result() == before
    assert RunDirectory(folder.directory()).damage() is None
    assert finish(folder.begin("shown")) == 0
    assert "This run is finished" in folder.said("shown")
    assert finish(folder.begin(more=force)) == 0
    assert not (folder.directory() / "again").exists()
    assert folder.result()["stages"]["posttrain"]["cached"] == []
    assert folder.numbers() == uninterrupted.numbers()
    per_class = Counter(line.split()[0] for line in folder.epochs().elements())
    # candidates once; the super-network three epochs, then one and a part, then the other two
    assert (per_class["Pretraining"], per_class["SPOSSearch"]) == (4 * 3, 3 + 2 + 2)
    assert per_class["Posttraining"] == 3 + 3


def test_a_repeated_run_that_fails_keeps_the_earlier_result(
    event_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(event_file, tmp_path / "repeated")
    before = run(compose_config(folder.overrides), console=QUIET)
    place = folder.directory() / "result.json"
    written = place.read_bytes()

    def fails(*_: Any) -> None:
        raise TrainingError("no more")

    with monkeypatch.context() as patch:
        patch.setattr("msnas.scoring.Scoring.test", fails)
        with pytest.raises(TrainingError):
            run(compose_config([*folder.overrides, "force=all"]), console=QUIET)
    assert place.read_bytes() == written
    assert RunDirectory(folder.directory()).damage() is None
    again = run(compose_config([*folder.overrides, "force=all"]), console=QUIET)
    for stage in again["stages"].values():
        # trained by the repetition, before it was interrupted
        assert stage["cached"] == list(stage["epochs"])
    assert without_volatile(again) == without_volatile(before)
    assert not (folder.directory() / "again").exists()


def test_force_all_trains_everything_anew(event_file: Path, tmp_path: Path) -> None:
    folder = Folder(event_file, tmp_path / "repeated", without_judge=False)
    before = run(compose_config(folder.overrides), console=QUIET)
    again = run(compose_config([*folder.overrides, "force=all"]), console=QUIET)
    assert set(again["stages"]) == {"pretrain", "search", "posttrain", "validity"}
    for stage in again["stages"].values():
        assert stage["cached"] == []
        assert stage["seconds"] > 0
    assert without_volatile(again) == without_volatile(before)


def test_the_comparison_sees_a_difference(
    event_file: Path, tmp_path: Path, uninterrupted: Folder
) -> None:
    other = Folder(event_file, tmp_path / "other", ("seed=1",))
    assert other.run() == 0
    found, expected = other.numbers(), uninterrupted.numbers()
    assert all(found[name] != expected[name] for name in expected)


def test_two_processes_at_once_on_the_same_run(
    event_file: Path, tmp_path: Path, uninterrupted: Folder
) -> None:
    folder = Folder(event_file, tmp_path / "both")
    both = [folder.begin(name) for name in ("first", "second")]
    assert [finish(one) for one in both] == [0, 0]
    assert set(folder.epochs().values()) == {1}
    assert folder.numbers() == uninterrupted.numbers()
    assert sum("This run is finished" in folder.said(name) for name in ("first", "second")) == 1


def test_the_second_says_at_once_what_it_waits_for(event_file: Path, tmp_path: Path) -> None:
    folder = Folder(event_file, tmp_path / "both")
    assert folder.run() == 0, folder.said()
    directory = folder.directory()
    with file_lock(directory.with_name(f"{directory.name}.lock"), what="testing"):
        second = folder.begin("second", more=("force=true",))
        error = folder.path / "second.error"
        wait_for(lambda: error.exists() and "waiting" in folder.said("second"))
        said = folder.said("second")
        assert second.exitcode is None
    assert finish(second) == 0, folder.said("second")
    holder = f"pid {os.getpid()} on {os.uname().nodename}, since "
    run, waiting = said.splitlines()
    assert run == f"Run: {directory}"
    assert waiting.startswith(f"waiting: another process is doing the run {directory} ({holder}")


def test_two_runs_at_once_share_the_candidates(
    event_file: Path, tmp_path: Path, uninterrupted: Folder
) -> None:
    folder = Folder(event_file, tmp_path / "both")
    both = [folder.begin(name, more=(f"task_weight={name}",)) for name in ("0.5", "0.9")]
    assert [finish(one) for one in both] == [0, 0]
    epochs = folder.epochs()
    assert {epoch: count for epoch, count in epochs.items() if "Pretraining" in epoch} == {
        epoch: 1 for epoch in uninterrupted.epochs() if "Pretraining" in epoch
    }
    paths = list((folder.path / "runs/htautau/spos").glob("*/result.json"))
    found = {path.parent: json.loads(path.read_text()) for path in paths}
    weights = [one["task_weights"]["tau_calibration"] for one in found.values()]
    assert sorted(weights) == [0.5, 0.9]
    cached = [set(one["stages"]["pretrain"]["cached"]) for one in found.values()]
    assert len(cached[0] | cached[1]) == 4
    assert not cached[0] & cached[1]
    directory = list(found)[weights.index(0.5)]
    expected = uninterrupted.numbers()
    assert without_volatile(found[directory]) == expected["result"]
    assert tensor_bytes(directory / "model.ckpt") == expected["model"]
