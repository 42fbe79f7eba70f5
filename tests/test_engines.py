"""Each engine loses a worker in the middle of a scan; all runs end as in a serial scan."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scan_process import (
    TOY,
    begin,
    end,
    epochs,
    kill_a_worker,
    kill_all,
    numbers,
    results,
    said,
    sweep,
    wait_for,
)

SCAN = (*TOY, *epochs(4), "task_weight=0.1,0.9", "seed=0,1")
SHORT = (*TOY, *epochs(4), "task_weight=0.1,0.9", "seed=0", "pretrain.enabled=false")
"""Without pre-training: every job of submitit's begins with seconds of imports."""


def needs(package: str) -> None:
    if importlib.util.find_spec(f"hydra_plugins.{package}") is None:
        pytest.skip(f"{package} is not installed (requirements-scan.txt)")


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same runs one after the other, without any accident."""
    folder = tmp_path_factory.mktemp("serial")
    assert sweep(folder, *SCAN, "hydra/launcher=basic") == 0, said(folder)
    assert len(results(folder)) == 4
    return folder


def assert_survives(
    folder: Path,
    overrides: tuple[str, ...],
    engine: tuple[str, ...],
    number: signal.Signals = signal.SIGKILL,
) -> None:
    process = begin(folder, *overrides, *engine)
    try:
        lost = kill_a_worker(folder, other_than=process.pid, number=number)
        assert not (lost / "result.json").exists()
    except BaseException:
        kill_all(process)
        raise
    assert end(process) == 0, said(folder)
    assert (lost / "result.json").exists()
    assert "Traceback" not in said(folder)
    assert {one["status"] for one in results(folder)} == {"finished"}


def test_joblib(serial: Path, tmp_path: Path) -> None:
    needs("hydra_joblib_launcher")
    assert_survives(tmp_path, SCAN, ())
    assert numbers(tmp_path) == numbers(serial)


def test_joblib_loses_a_worker_by_sigterm(tmp_path: Path) -> None:
    """Which Lightning takes a note of, to end with an exception that would end the scan as well."""
    needs("hydra_joblib_launcher")
    assert_survives(tmp_path, (*TOY, *epochs(40), *SHORT[-3:]), (), signal.SIGTERM)
    assert [one["status"] for one in results(tmp_path)] == ["finished"] * 2


def test_submitit_local(tmp_path: Path) -> None:
    needs("hydra_submitit_launcher")
    alone = tmp_path / "serial"
    assert sweep(alone, *SHORT, "hydra/launcher=basic") == 0, said(alone)
    folder = tmp_path / "submitit"
    assert_survives(folder, SHORT, ("hydra/launcher=submitit_local",))
    assert numbers(folder) == numbers(alone)
    assert not list(alone.glob("runs/cache/pretrain/*"))


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a Ray cluster on this machine: a head and a second node, a worker each."""
    needs("hydra_ray_launcher")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    ray = str(Path(sys.executable).with_name("ray"))
    common = ["--num-cpus=1", "--object-store-memory=80000000", "--disable-usage-stats", "--block"]
    head = ["--head", f"--port={address.split(':')[1]}", "--include-dashboard=false"]
    nodes: list[subprocess.Popen[bytes]] = []
    # a short path: that of a socket may have 107 characters
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as place:
        # Ray keeps a token there that another cluster's does not go with
        monkeypatch.setenv("HOME", place)
        try:
            for words in ([*head, f"--temp-dir={place}"], [f"--address={address}"]):
                output = Path(place) / f"node{len(nodes)}"
                with output.open("w") as file:
                    nodes.append(
                        subprocess.Popen(
                            [ray, "start", *words, *common],
                            stdout=file,
                            stderr=subprocess.STDOUT,
                            start_new_session=True,
                        )
                    )
                wait_for(lambda output=output: "Ray runtime started" in output.read_text())
            yield address
        finally:
            for node in nodes:
                _end_session(node.pid)
                node.wait()


def _end_session(leader: int) -> None:
    """Ray's daemons have process groups of their own, but stay in the session."""
    for _ in range(3):
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                try:
                    if os.getsid(int(process.name)) == leader:
                        os.kill(int(process.name), signal.SIGKILL)
                except ProcessLookupError:
                    continue
        time.sleep(0.05)


def test_ray_cluster_of_two_workers(serial: Path, tmp_path: Path, cluster: str) -> None:
    engine = ("hydra/launcher=ray", f"hydra.launcher.ray.init.address={cluster}")
    assert_survives(tmp_path, SCAN, engine)
    assert numbers(tmp_path) == numbers(serial)


def test_killed_whole_and_started_again(serial: Path, tmp_path: Path) -> None:
    """Kill -9 of the scan and its workers, in pre-training and in the searches."""
    for pattern in ("cache/pretrain/*.partial", "cache/search/*.partial"):
        process = begin(tmp_path, *SCAN)
        wait_for(lambda pattern=pattern: list((tmp_path / "runs").glob(pattern)))
        assert process.poll() is None
        kill_all(process)
    assert sweep(tmp_path, *SCAN) == 0, said(tmp_path)
    assert numbers(tmp_path) == numbers(serial)
