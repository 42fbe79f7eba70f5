"""Trackers that show epochs as they end: in order, with real times, whole in the end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import wandb
from conftest import QUIET, ROOT, compose_config, epochs
from golden_runs import COMMON, RUNS
from loopback import loopback
from offline_run import OfflineRun, made
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from msnas.plan import make_plan
from msnas.report.tensorboard_tracker import TensorBoardTracker
from msnas.report.tracker import NoTracker, Tracker, live
from msnas.report.wandb_tracker import LIVE, WandbTracker
from msnas.run import run
from msnas.run_directory import RunDirectory


class Seen(Tracker):
    """Notes what it is told, and when."""

    lines: list[tuple[float, dict[str, Any]]] = []
    left: list[bool] = []

    def epoch(self, directory: RunDirectory, line: Mapping[str, Any]) -> None:
        assert directory.finished() is None
        self.lines.append((time.time(), dict(line)))

    def leave(self) -> None:
        self.left.append(True)

    def missing(self, directory: RunDirectory) -> bool:
        return False

    def mirror(self, directory: RunDirectory, result: Mapping[str, Any]) -> None:
        """Nothing."""


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    one = Seen()
    one.lines.clear()
    one.left.clear()
    monkeypatch.setattr("msnas.run.build", lambda *_, **__: one)
    return one


def a_run(output: Path, *more: str) -> RunDirectory:
    config = compose_config([*COMMON, *epochs(2), f"output={output}", *more])
    run(config, console=QUIET)
    return RunDirectory(make_plan(config).directory)


KINDS = {
    "a search": RUNS["darts"],
    "all chains": ["problem=toy", "method=grid_search"],
    "a race": ["problem=toy", "method=race"],
    "one after the other": [
        *("problem=toy", "method=fixed_chain", "method.chain=[curve,logistic]"),
        "method.reoptimise=false",
    ],
}
SLOW = ("all chains", "a race")


@pytest.mark.parametrize(
    "kind",
    [pytest.param(one, marks=[pytest.mark.slow] * (one in SLOW)) for one in KINDS],
)
def test_every_epoch_is_told_as_it_ends(tmp_path: Path, seen: Seen, kind: str) -> None:
    """By the names it has in the history; what a later stage takes from the cache is told once."""
    history = a_run(tmp_path, *KINDS[kind]).history()
    told = [line for _, line in seen.lines]
    assert told
    assert all(line in history for line in told)
    names = ("stage", "model", "epoch")
    assert len({tuple(line[name] for name in names) for line in told}) == len(told)
    assert {line["time"] for line in told} == {line["time"] for line in history}
    assert all(line["time"] <= now for now, line in seen.lines)
    assert not seen.left


def test_neither_a_refit_nor_a_repeated_run_is_told(tmp_path: Path, seen: Seen) -> None:
    """The latter leaves its mirror as it is until all is done."""
    history = a_run(tmp_path, *KINDS["a search"], "refit=all").history()
    assert len(seen.lines) == len(history)
    seen.lines.clear()
    a_run(tmp_path, *KINDS["a search"], "force=all")
    assert seen.lines == []


def test_a_run_that_fails_leaves(
    tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("no more")

    monkeypatch.setattr("msnas.pipeline.write_losses", fail)
    with pytest.raises(ValueError, match="no more"):
        a_run(tmp_path, *KINDS["a search"])
    assert seen.left == [True]


def test_a_tracker_that_fails_is_told_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fail(*_: Any) -> None:
        calls.append(1)
        raise OSError("no network")

    tracker = NoTracker()
    monkeypatch.setattr(NoTracker, "epoch", fail)
    with live(tracker, RunDirectory(tmp_path)) as tell:
        tell({})
        tell({})
    assert calls == [1]


def curves(folder: Path) -> dict[str, list[tuple[int, float, float]]]:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {
        tag: [(one.step, one.value, one.wall_time) for one in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_tensorboard_while_it_runs_and_after(tmp_path: Path) -> None:
    directory, result = made(tmp_path)
    tracker, folder = TensorBoardTracker(), directory.path / "tensorboard"
    folder.mkdir()
    (folder / "of an earlier process").touch()
    lines = directory.history()
    for line in lines[1:3]:  # the first one comes from the cache
        tracker.epoch(directory, line)
    shown = curves(folder)
    assert shown["pretrain/one/a/train/loss"] == [(1, 1.0, 1.5e9 + 1)]
    assert shown["search/super-network/valid/loss"] == [(0, 1.5, 1.5e9 + 60)]
    assert tracker.missing(directory), "it is not whole"
    tracker.mirror(directory, result)
    assert not tracker.missing(directory)
    assert not (folder / "of an earlier process").exists()
    whole = curves(folder)
    assert whole["pretrain/one/a/train/loss"] == [(0, 2.0, 1.5e9), (1, 1.0, 1.5e9 + 1)]
    assert [step for step, *_ in whole["search/super-network/valid/loss"]] == [0, 1]


@pytest.fixture
def kept_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What W&B would send is kept on disk."""
    begin = wandb.init
    monkeypatch.setattr("wandb.init", lambda **words: begin(**{**words, "mode": "offline"}))
    monkeypatch.setattr(
        "wandb.sdk.wandb_run.Run.url", property(lambda _: "https://x.invalid/run"), raising=True
    )


@pytest.mark.usefixtures("kept_here")
def test_wandb_while_it_runs_and_after(tmp_path: Path) -> None:
    """Epochs are sent once; what came from the cache follows at the end, with its own time."""
    directory, result = made(tmp_path)
    tracker = WandbTracker(project="msnas", mode="online", group=None)
    lines = directory.history()
    tracker.epoch(directory, lines[1])
    tracker.epoch(directory, lines[2])
    assert tracker.missing(directory)
    assert list((directory.path / LIVE).glob("wandb/offline-run-*"))
    assert tracker.mirror(directory, result) == "W&B: https://x.invalid/run"
    assert not (directory.path / LIVE).exists()
    (folder,) = (directory.path / "wandb").glob("offline-run-*")
    written = OfflineRun(folder)
    told = [
        (line["epoch"], line["_timestamp"])
        for line in written.history
        if "epoch" in line and len(line) > 3
    ]
    assert told == [(1, 1.5e9 + 1), (0, 1.5e9 + 60), (0, 1.5e9), (1, 1.5e9 + 61)]
    assert written.summary["chain"] == "a-c"
    assert written.exit_codes == [0]


@pytest.mark.usefixtures("kept_here")
def test_wandb_of_a_run_that_fails_ends_and_the_next_begins_anew(tmp_path: Path) -> None:
    directory, result = made(tmp_path)
    tracker = WandbTracker(project="msnas", mode="online", group=None)
    with suppress(ValueError), live(tracker, directory) as tell:
        tell(directory.history()[0])
        assert (directory.path / LIVE).is_dir()
        raise ValueError("no more")
    assert not (directory.path / LIVE).exists()
    assert tracker.missing(directory)
    tracker.mirror(directory, result)
    (folder,) = (directory.path / "wandb").glob("offline-run-*")
    assert len([one for one in OfflineRun(folder).history if "epoch" in one]) == 4


def test_offline_there_is_nothing_until_the_end(tmp_path: Path) -> None:
    directory, _ = made(tmp_path)
    WandbTracker(project="msnas", mode="offline", group=None).epoch(directory, {})
    assert not (directory.path / LIVE).exists()


def of_wandb(query: str, variables: dict[str, Any]) -> dict[str, Any]:
    """What W&B answers where a run begins."""
    if "upsertBucket" in query:
        project = {"id": "p", "name": "msnas", "entity": {"id": "e", "name": "me"}}
        bucket = {"id": "b", "name": variables["name"], "displayName": "made", "config": "{}"}
        return {"upsertBucket": {"bucket": {**bucket, "project": project}, "inserted": True}}
    if "createRunFiles" in query:
        return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": []}}
    return {}


def test_wandb_online_sends_epochs_while_the_run_is_at_work(tmp_path: Path) -> None:
    """A server on this machine has them before the process that tells them may end."""
    code = (
        "import sys; from pathlib import Path; from offline_run import made\n"
        "from msnas.report.wandb_tracker import WandbTracker\n"
        f"directory, _ = made(Path({str(tmp_path)!r}))\n"
        "tracker = WandbTracker(project='msnas', mode='online', group=None)\n"
        "for line in directory.history()[:3]: tracker.epoch(directory, line)\n"
        "sys.stdin.readline(); tracker.leave()"
    )
    with loopback(of_wandb, str(tmp_path)) as server:
        often = {"WANDB__FILE_STREAM_TRANSMIT_INTERVAL": "0.2"}  # by default every 15 s
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT / "tests",
            env=server.environment | often,
            stdin=subprocess.PIPE,
        )
        end = time.monotonic() + 120
        while len(server.history) < 3 and process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        assert process.poll() is None, "the run is at work"
        sent = [(one["epoch"], one["_timestamp"]) for one in server.history]
        process.communicate(b"\n", timeout=120)
    assert sent == [(0, 1.5e9), (1, 1.5e9 + 1), (0, 1.5e9 + 60)]
    assert process.returncode == 0
