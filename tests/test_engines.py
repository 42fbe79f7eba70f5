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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import epochs
from scan_process import (
    TOY,
    begin,
    end,
    held_back,
    kill_a_worker,
    kill_all,
    numbers,
    results,
    said,
    sweep,
    wait_for,
)  # fmt: skip

SCAN = (*TOY, *epochs(2), "task_weight=0.1,0.9", "seed=0,1")
SHORT = (
    *(*TOY, *epochs(2), "recipe.search.epochs=40", "pretrain.enabled=false"),
    *("task_weight=0.1,0.9", "seed=0"),
)
"""Without pre-training: every job of submitit's begins with seconds of imports."""


def needs(package: str) -> None:
    if importlib.util.find_spec(f"hydra_plugins.{package}") is None:
        pytest.skip(f"{package} is not installed (requirements-scan.txt)")


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], Path]:
    """The same runs one after the other, without any accident."""
    folders = {}
    for scan, count in ((SCAN, 4), (SHORT, 2)):
        folders[scan] = folder = tmp_path_factory.mktemp("serial")
        assert sweep(folder, *scan, "hydra/launcher=basic") == 0, said(folder)
        assert len(results(folder)) == count
    assert not list(folder.glob("runs/cache/pretrain/*"))
    return folders


def assert_survives(
    folder: Path, serial: Path, *engine: str, signals: Sequence[signal.Signals] = (signal.SIGKILL,)
) -> None:
    """A worker is lost by each signal."""
    with held_back(folder, serial):
        process = begin(folder, *SHORT, *engine)
        try:
            for number in signals:
                lost = kill_a_worker(folder, other_than=process.pid, number=number)
                assert not (lost / "result.json").exists()
        except BaseException:
            kill_all(process)
            raise
    assert end(process) == 0, said(folder)
    assert (lost / "result.json").exists()
    assert "Traceback" not in said(folder)
    assert {one["status"] for one in results(folder)} == {"finished"}
    assert numbers(folder) == numbers(serial)


def test_joblib(serial: dict[Any, Path], tmp_path: Path) -> None:
    """Lightning takes a note of SIGTERM, to end with an exception that would end the scan."""
    needs("hydra_joblib_launcher")
    assert_survives(tmp_path, serial[SHORT], signals=(signal.SIGTERM, signal.SIGKILL))


def test_submitit_local(serial: dict[Any, Path], tmp_path: Path) -> None:
    needs("hydra_submitit_launcher")
    assert_survives(tmp_path, serial[SHORT], "hydra/launcher=submitit_local")


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


def test_ray_cluster_of_two_workers(serial: dict[Any, Path], tmp_path: Path, cluster: str) -> None:
    address = f"hydra.launcher.ray.init.address={cluster}"
    assert_survives(tmp_path, serial[SHORT], "hydra/launcher=ray", address)


def test_killed_whole_and_started_again(serial: dict[Any, Path], tmp_path: Path) -> None:
    """Kill -9 of the scan and its workers, in pre-training and in the searches."""
    for begun, stage in (("pretrain", "search"), ("search", "posttrain")):
        with held_back(tmp_path, serial[SCAN], stage):
            process = begin(tmp_path, *SCAN)
            wait_for(lambda begun=begun: list(tmp_path.glob(f"runs/cache/{begun}/*/record.json")))
            assert process.poll() is None
            kill_all(process)
    assert results(tmp_path) == []
    assert sweep(tmp_path, *SCAN, "hydra/launcher=basic") == 0, said(tmp_path)
    assert numbers(tmp_path) == numbers(serial[SCAN])
