"""What other processes do for a report is what one process does, and nothing is lost with one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_scan import made_scan, write_made_run
from sklearn.metrics import roc_auc_score

from msnas.elsewhere import elsewhere
from msnas.plots.draw import _save
from msnas.plots.grammar import Axis, Chart, Look, Panel, Points
from msnas.plots.paper import save
from msnas.report.run_views import Views
from msnas.results.event_error import event_error, read_ahead
from msnas.results.quantity import Quantity
from msnas.results.runs import collect
from msnas.run_directory import RunDirectory

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other processes are forks")

Ticks = Callable[[float, float], Mapping[float, str]]


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msnas.elsewhere.MOST", 2)
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    # pytest-xdist has a thread that waits for messages and holds no lock of what is done here
    monkeypatch.setattr("threading.active_count", lambda: 1)


def chart(title: str, ticks: Ticks | None = None) -> Chart:
    rows = pd.DataFrame({"x": [0.0, 1.0, 2.0], "y": [1.0, 3.0, 2.0]})
    layer = Points(rows=rows, look=Look(colour="#0072b2"), label="$v_1$")
    panel = Panel(x=Axis(label="x", ticks=ticks), y=Axis(label="y"), layers=[layer])
    return Chart(title=title, panels=[panel], columns=1)


def contents(files: tuple[Path, ...]) -> list[bytes]:
    return [file.read_bytes() for file in files]


@LINUX
@pytest.mark.usefixtures("two")
def test_other_processes_write_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("one", "two", "three")
    expected = [contents(save(chart(name), tmp_path / name)) for name in names]
    here = os.getpid()

    def not_here(*told: Any) -> tuple[Path, ...]:
        assert os.getpid() != here
        return save(*told)

    monkeypatch.setattr("msnas.plots.paper.save", not_here)
    with elsewhere() as begin:
        files = [begin(_save, chart(name), tmp_path / f"again {name}") for name in names]
        assert [contents(one()) for one in files] == expected


@LINUX
@pytest.mark.usefixtures("two")
def test_other_processes_read_what_this_one_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msnas.elsewhere.SHARE", 2)
    score, label = np.linspace(0, 1, 8), np.array([0, 0, 1, 0, 1, 0, 1, 1])
    numbers = {"classify/auc": float(roc_auc_score(label, score))}
    for seed in range(3):
        write_made_run(tmp_path / "runs", seed=seed, numbers=numbers, scores=(score, label))
    runs = collect([tmp_path / "runs"]).finished
    names = [run.key for run in runs]
    auc = Quantity(name="classify/auc", label="", higher_is_better=True)
    expected = [event_error(run, auc) for run in collect([tmp_path / "runs"]).finished]
    assert all(expected)
    views = Views.begun(runs, tmp_path).text(names)
    assert list(json.loads(views)) == names
    with elsewhere() as begin:
        again = Views.begun(runs, tmp_path, begin)
        read_ahead(runs, begin)
        monkeypatch.setattr(RunDirectory, "history", None)
        monkeypatch.setattr("msnas.results.event_error.read_outputs", None)
        assert again.text(names) == views
        assert [event_error(run, auc) for run in runs] == expected


@pytest.mark.usefixtures("two")
def test_a_process_with_other_threads_does_all_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threading.active_count", lambda: 2)
    with elsewhere() as begin:
        assert begin(os.getpid)() == os.getpid()


@pytest.mark.usefixtures("two")
def test_what_other_processes_cannot_draw_is_drawn_here(tmp_path: Path) -> None:
    here, lock = os.getpid(), Lock()

    def deadly(*_: float) -> Mapping[float, str]:
        return {1.0: "one"} if os.getpid() == here else os._exit(1)

    def unsent(*_: float) -> Mapping[float, str]:
        with lock:
            return {1.0: "one"}

    def broken(*_: float) -> Mapping[float, str]:
        raise ZeroDivisionError("no ticks")

    expected = contents(save(chart("", unsent), tmp_path / "here"))
    with elsewhere() as begin:
        charts = {one.__name__: chart("", one) for one in (unsent, broken, deadly)}
        files = [begin(_save, one, tmp_path / name) for name, one in charts.items()]
        assert contents(files[0]()) == expected
        with pytest.raises(ZeroDivisionError, match="no ticks"):
            files[1]()
        assert contents(files[2]()) == expected


def test_a_report_that_is_stopped_leaves_no_process(tmp_path: Path) -> None:
    made_scan(tmp_path / "runs")
    words = [sys.executable, "-m", "msnas.report", "runs=runs", "out=report"]
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, cwd=tmp_path, start_new_session=True, **told) as process:
        until(lambda: any((tmp_path / "report").glob("figures/*.png")))
        os.killpg(process.pid, signal.SIGINT)
        out, error = process.communicate()
    assert (process.returncode, out, error) == (130, "", "")
    until(lambda: not is_there(process.pid))


def until(happened: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < limit
        time.sleep(0.05)


def is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
