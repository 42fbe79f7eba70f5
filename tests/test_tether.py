"""No process of a scan outlives it."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import epochs
from scan_process import (
    TOY,
    begin,
    held_back,
    kill_all,
    numbers,
    results,
    said,
    searches,
    session,
    sweep,
    wait_for,
    workers,
)  # fmt: skip

from msnas.scan.tether import Tether

SCAN = (*(*TOY, *epochs(2), "pretrain.enabled=false"), *("task_weight=0.1,0.9", "seed=0"))
ENGINES = {
    # three for two runs: one that never has a job
    "joblib": ("hydra.launcher.n_jobs=3", "popen_loky", 3),
    "submitit_local": ("hydra/launcher=submitit_local", "-m submitit.", 4),
}


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serial")
    assert sweep(folder, *SCAN, "hydra/launcher=basic") == 0, said(folder)
    return folder


@pytest.mark.parametrize("name", ENGINES)
def test_nothing_is_left_of_a_killed_scan(serial: Path, tmp_path: Path, name: str) -> None:
    engine, command, count = ENGINES[name]
    if importlib.util.find_spec(f"hydra_plugins.hydra_{name.split('_')[0]}_launcher") is None:
        pytest.skip(f"{name} is not installed (requirements-scan.txt)")
    with held_back(tmp_path, serial):
        process = begin(tmp_path, *SCAN, engine)
        try:
            wait_for(lambda: searches(tmp_path))
            wait_for(lambda: sum(command in one for one in session(process).values()) == count)
            assert workers(tmp_path).keys() - {process.pid}
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            wait_for(lambda: not session(process))
        finally:
            kill_all(process)
    assert results(tmp_path) == []
    assert sweep(tmp_path, *SCAN, "hydra/launcher=basic") == 0, said(tmp_path)
    assert numbers(tmp_path) == numbers(serial)


def test_a_process_is_known_by_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Tether.to_this_process()
    assert here.holds
    assert not replace(here, began=f"{here.began}0").holds
    program = "from msnas.scan.tether import Tether; print(Tether.to_this_process(), flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{program}; input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        there = eval(other.stdout.readline(), {"Tether": Tether})
        assert (there.place, there.pid) == (here.place, other.pid)
        assert there.holds
        other.kill()
        wait_for(lambda: not there.holds)  # nobody has asked how it ended: it is listed still
        assert Path(f"/proc/{other.pid}").exists()
    assert not there.holds
    # a system without /proc
    monkeypatch.setattr("msnas.scan.tether.PROC", Path("/nowhere"))
    assert Tether.to_this_process().began == ""
    assert Tether.to_this_process().holds
    assert not replace(there, began="").holds


def tied(tether: Tether) -> subprocess.CompletedProcess[str]:
    """A process that ties itself, and says so three seconds later."""
    program = f"import time; from msnas.scan.tether import Tether; {tether!r}(); time.sleep(3)"
    return subprocess.run(
        [sys.executable, "-c", f"{program}; print('free')"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_worker_that_begins_too_late_ends_and_one_elsewhere_stays() -> None:
    over = replace(Tether.to_this_process(), began="0")
    done = tied(over)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    done = tied(replace(over, place="elsewhere"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "free\n", "")
    done = tied(Tether.to_this_process())
    assert (done.returncode, done.stdout, done.stderr) == (0, "free\n", "")
