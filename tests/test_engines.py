"""Each engine loses a worker in the middle of a scan; all runs end as in a serial scan."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
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
    workers,
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


class Cluster:
    """A Ray cluster on this machine; every node has one worker."""

    def __init__(self, place: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self.place = place
        self.nodes: list[subprocess.Popen[bytes]] = []
        self.add("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={place}")

    @property
    def engine(self) -> tuple[str, str]:
        return "hydra/launcher=ray", f"hydra.launcher.ray.init.address={self.address}"

    def add(self, *words: str) -> subprocess.Popen[bytes]:
        """Start one more node; without `words` it joins the others."""
        ray = str(Path(sys.executable).with_name("ray"))
        common = ["--num-cpus=1", "--object-store-memory=80000000", "--disable-usage-stats"]
        output = self.place / f"node{len(self.nodes)}"
        with output.open("w") as file:
            self.nodes.append(
                subprocess.Popen(
                    [ray, "start", *(words or [f"--address={self.address}"]), *common, "--block"],
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )
        wait_for(lambda: "Ray runtime started" in output.read_text(), seconds=400)
        return self.nodes[-1]

    def kill(self) -> None:
        for node in self.nodes:
            end_session(node)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster of a head and a second node."""
    needs("hydra_ray_launcher")
    # a short path: that of a socket may have 107 characters
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as place:
        # Ray keeps a token there that another cluster's does not go with
        monkeypatch.setenv("HOME", place)
        made = Cluster(Path(place))
        try:
            made.add()
            yield made
        finally:
            made.kill()


def end_session(leader: subprocess.Popen[bytes]) -> None:
    """Ray's daemons have process groups of their own, but stay in the session."""
    for _ in range(3):
        for process in in_session(leader):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)
    leader.wait()


def in_session(leader: subprocess.Popen[bytes]) -> set[int]:
    found = set()
    for process in Path("/proc").iterdir():
        with suppress(ProcessLookupError):
            if process.name.isdigit() and os.getsid(int(process.name)) == leader.pid:
                found.add(int(process.name))
    return found


def test_ray_cluster_of_two_workers(
    serial: dict[Any, Path], tmp_path: Path, cluster: Cluster
) -> None:
    assert_survives(tmp_path, serial[SHORT], *cluster.engine)


MANY = (
    *("problem=toy", "trainer=cpu", "logger=none", "report=false", "data.source.events=200"),
    *("method=fixed_chain", "method.chain=[line,logistic]", "pretrain.enabled=false", *epochs(2)),
)
WEIGHTS = ("0.1", "0.3", "0.5", "0.7")
SAMPLE = (*MANY, "task_weight=0.3", "seed=range(0,4)")


@pytest.mark.slow
def test_ray_loses_a_node_and_gets_another_one(tmp_path: Path, cluster: Cluster) -> None:
    """200 runs; the runs of SAMPLE wait in the middle until the accident is over."""
    serial, folder = tmp_path / "serial", tmp_path / "scan"
    assert sweep(serial, *SAMPLE, "hydra/launcher=basic") == 0, said(serial)
    held = {run.name for run in serial.glob("runs/toy/*/*")}
    scan = (*MANY, f"task_weight={','.join(WEIGHTS)}", "seed=range(0,50)", "scan.name=many")

    def running_on(node: subprocess.Popen[bytes]) -> Path | None:
        """The run that this node's worker is in the middle of."""
        of_node = in_session(node)
        return next((run for pid, run in workers(folder).items() if pid in of_node), None)

    with held_back(folder, serial):
        process = begin(folder, *scan, *cluster.engine)
        try:
            wait_for(lambda: len(results(folder)) >= 50, seconds=400)
            lost = cluster.nodes[1]
            interrupted = wait_for(
                lambda: run if (run := running_on(lost)) and run.name in held else None
            )
            end_session(lost)
            assert not (interrupted / "result.json").exists()
            added = cluster.add()
            wait_for(lambda: running_on(added), seconds=240)
        except BaseException:
            kill_all(process)
            raise
    assert end(process, seconds=900) == 0, said(folder)
    assert "Traceback" not in said(folder)
    assert "raylet" not in said(folder)
    assert (interrupted / "result.json").exists()
    runs = json.loads((folder / "sweeps" / "many" / "scan.json").read_text())["runs"]
    assert Counter(run["status"] for run in runs) == {"finished": 200}
    assert len({run["key"] for run in runs}) == 200
    assert [one["status"] for one in results(folder)] == ["finished"] * 200
    found, expected = numbers(folder), numbers(serial)
    assert len(expected) == 2 * 4
    assert {name: found[name] for name in expected} == expected


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
