"""Worker processes of a single run: the same numbers, no errors of their own, no orphans."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import joblib
import pytest
from conftest import QUIET, compose_config, epochs
from killable_run import finish, start
from scan_process import TOY, numbers, wait_for

from msnas import workers
from msnas.errors import TrainingError
from msnas.independent import assist
from msnas.locks import file_lock
from msnas.plan import make_plan
from msnas.run import run
from msnas.scan.work import pretraining_entry

RUN = [
    *(one for one in TOY if one != "report=false"),
    *("data.source.events=600", "method=spos"),
    *epochs(3),
]


def idle(
    monkeypatch: pytest.MonkeyPatch, *, cores: int = 8, load: float = 0.0, **changes: Any
) -> int:
    """How many processes `auto` begins for a large run, with these changes, on this machine."""
    monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    usual: dict[str, Any] = {"left": 9, "events": 6000, "epochs": 12, "threads": 1}
    return workers.processes("auto", **{**usual, "accelerator": "cpu", **changes})


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({}, workers.MOST),
        ({"cores": 2}, 2),
        ({"cores": 1}, 1),
        ({"load": 5.4}, 3),
        ({"load": 30.0}, 1),
        ({"threads": 3}, 2),
        ({"left": 3, "events": 20_000}, 3),
        ({"left": 0}, 1),
        ({"accelerator": "gpu"}, 1),
        ({"events": 2_000}, 1),
        ({"events": 400_000}, 1),
    ],
    ids=lambda case: (
        " ".join(f"{key}={one}" for key, one in case.items()) or "idle"
        if isinstance(case, Mapping)
        else ""
    ),
)
def test_auto_takes_idle_cores_where_it_pays(
    monkeypatch: pytest.MonkeyPatch, case: dict[str, Any], expected: int
) -> None:
    assert idle(monkeypatch, **case) == expected


@pytest.mark.parametrize(
    ("asked", "left", "expected"), [(3, 9, 3), (3, 2, 2), (2, 0, 1), (1, 9, 1)]
)
def test_a_number_is_taken_as_it_is_but_for_what_is_left(
    asked: int, left: int, expected: int
) -> None:
    few = {"events": 10, "epochs": 1, "threads": 8, "accelerator": "gpu"}
    assert workers.processes(asked, left=left, **few) == expected


def test_the_number_of_processes_is_no_part_of_a_run() -> None:
    plans = [make_plan(compose_config([*RUN, f"trainer.workers={one}"])) for one in ("auto", 1, 7)]
    assert len({plan.key for plan in plans}) == 1
    assert all(
        "workers" not in one for plan in plans for one in (plan.machine, plan.config["trainer"])
    )
    assert [plan.workers for plan in plans] == ["auto", 1, 7]


def test_a_scan_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | str] = []
    monkeypatch.setattr("msnas.run._run", lambda plan, *_, **__: asked.append(plan.workers))
    for words, of_scan in (("auto", True), ("3", True), ("auto", False)):
        run(compose_config([*RUN, f"trainer.workers={words}"]), console=QUIET, of_scan=of_scan)
    assert asked == [1, 3, "auto"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The numbers of the run by one process."""
    folder = tmp_path_factory.mktemp("alone")
    run(compose_config([*RUN, f"output={folder / 'runs'}", "trainer.workers=1"]), console=QUIET)
    return numbers(folder)


def test_what_a_worker_did_is_taken_and_is_no_cache(
    tmp_path: Path, alone: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker does all before the run comes to it, and the log tells only once of the events."""
    plan = make_plan(compose_config([*RUN, f"output={tmp_path / 'runs'}", "trainer.workers=2"]))

    class Before:
        """In the place of `helped`."""

        def __init__(self, count: int, *arguments: Any) -> None:
            assert count == 1
            work, *others = arguments
            work(*others, 0)

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr("msnas.independent.helped", Before)
    result = run(
        compose_config([*RUN, f"output={tmp_path / 'runs'}", "trainer.workers=2"]), console=QUIET
    )
    assert numbers(tmp_path) == alone
    stage = result["stages"]["pretrain"]
    assert (stage["cached"], stage["cached_seconds"]) == ([], 0)
    assert stage["seconds"] > 0
    log = (plan.directory / "log").read_text()
    assert log.count("events by label") == 1
    assert "2 processes train" in log


@pytest.mark.parametrize("place", [0, 2])
def test_a_worker_leaves_what_another_trains(
    tmp_path: Path, alone: dict[str, Any], place: int
) -> None:
    """Whether that comes before the other trainings or between them."""
    names = {Path(one).name for one in alone if "/pretrain/" in one}
    folder = tmp_path / "runs/cache/pretrain"
    folder.mkdir(parents=True)
    words = [*RUN, f"output={tmp_path / 'runs'}"]
    held = entry_of(words, 1, "cautious")
    with file_lock(folder / f"{held}.lock", what="testing"):
        assist(make_plan(compose_config(words)), tmp_path / "log", None, place)
    assert {one.name for one in folder.iterdir() if one.is_dir()} == names - {held}
    assert (tmp_path / "log").read_text() == ""


def test_an_error_is_the_run_s_own(tmp_path: Path) -> None:
    words = [*RUN, f"output={tmp_path / 'runs'}", "recipe.optimizer.lr=1e30"]
    config = compose_config(words)
    with pytest.raises(SystemExit) as ended:
        assist(make_plan(config), tmp_path / "log", None, 0)
    assert ended.value.code == 1
    log = (tmp_path / "log").read_text()
    assert log.count("a worker ended with an error") == log.count("Traceback") == 1
    with pytest.raises(TrainingError, match=r"a smaller recipe\.optimizer\.lr may help"):
        run(config, console=QUIET)


class Beside:
    """`train.py` with a worker; the run waits for its first training, which the test holds."""

    def __init__(self, folder: Path, first: str) -> None:
        self.folder = folder
        self.cache = folder / "runs/cache/pretrain"
        self.cache.mkdir(parents=True)
        self.lock = self.cache / f"{first}.lock"

    def begin(self) -> BaseProcess:
        words = [*RUN, f"output={self.folder / 'runs'}", "trainer.workers=2"]
        return start(words, journal=self.folder / "journal", said=self.folder / "said")

    def finished(self) -> list[Path]:
        return [one for one in self.cache.iterdir() if one.is_dir() and not one.suffix]

    def said(self) -> str:
        return "".join((self.folder / name).read_text() for name in ("said", "said.error"))


def children(process: BaseProcess) -> list[int]:
    """The worker and the watcher of its resources."""
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(one) for one in text.split()]


def entry_of(words: list[str], level: int, name: str) -> str:
    """The name of a pre-training in the store."""
    return pretraining_entry(make_plan(compose_config(words)), level, name).name


def test_two_processes_end_with_the_numbers_of_one(tmp_path: Path, alone: dict[str, Any]) -> None:
    beside = Beside(tmp_path, entry_of(RUN, 0, "plane"))
    with file_lock(beside.lock, what="testing"):
        process = beside.begin()
        wait_for(lambda: len(beside.finished()) == 3)
        helpers = children(process)
    assert finish(process) == 0, beside.said()
    wait_for(lambda: not [one for one in helpers if Path(f"/proc/{one}").exists()])
    assert numbers(tmp_path) == alone
    assert "\n2 processes train (trainer.workers): the same numbers, sooner\n" in beside.said()
    # the last one's lock goes to the one or the other
    begun = [
        line for line in (tmp_path / "journal").read_text().split("\n") if "Pretraining" in line
    ]
    assert len(begun) in (0, 3)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGINT, marks=SLOW),
        pytest.param(signal.SIGTERM, marks=SLOW),
    ],
    ids=lambda number: number.name,
)
def test_killed_it_leaves_no_worker_and_loses_nothing(
    tmp_path: Path, alone: dict[str, Any], number: signal.Signals
) -> None:
    beside = Beside(tmp_path, entry_of(RUN, 0, "plane"))
    with file_lock(beside.lock, what="testing"):
        process = beside.begin()
        wait_for(lambda: any(beside.cache.glob("*.partial")))
        helpers = children(process)
        assert helpers
        assert process.pid is not None
        os.kill(process.pid, number)
        died = -number if number == signal.SIGKILL else 128 + number
        assert finish(process) == died, beside.said()
        wait_for(lambda: not [one for one in helpers if Path(f"/proc/{one}").exists()])
    assert not list(tmp_path.rglob("result.json"))
    assert finish(beside.begin()) == 0, beside.said()
    assert numbers(tmp_path) == alone
