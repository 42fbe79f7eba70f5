"""`python -m msnas.report`: what it writes, and what it says of runs it cannot use."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pandas as pd
import pytest
from made_page import held
from made_scan import made_scan, write_made_run
from rich.console import Console

from msnas.errors import DataError
from msnas.locks import file_lock
from msnas.plots.draw import figures_found
from msnas.report.build import EVERY, LOCK, build_report, watch_report

NAMES = {
    "fig2_reoptimisation",
    "fig3_against_v1",
    "fig5_selected",
    "fig6_methods",
    "talk_methods",
}


def report(*folders: Path, out: Path) -> str:
    console = Console(record=True, width=110, file=io.StringIO())
    build_report(folders, out, console)
    return console.export_text()


def test_every_figure_of_the_folder_is_found() -> None:
    names = [one.name for one in figures_found()]
    assert names == sorted(set(names))
    assert set(names) >= NAMES


def test_the_command_writes_everything_and_names_what_is_missing(tmp_path: Path) -> None:
    runs = made_scan(tmp_path / "runs")
    broken = runs / "made" / "spos" / "broken"
    broken.mkdir()
    (broken / "result.json").write_text("{")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "msnas.report", f"runs={runs}", "out=report"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    out = tmp_path / "report"
    table = pd.read_csv(out / "results.csv")
    assert len(table) == 18 + 12 + 8
    assert table["key"].is_unique
    columns = pd.read_parquet(out / "results.parquet").columns
    assert list(columns) == list(table.columns)
    assert {path.stem for path in (out / "figures").glob("*.pdf")} >= NAMES
    assert {path.stem for path in (out / "figures").glob("*.png")} >= NAMES
    assert {path.name for path in (out / "tables").iterdir()} == {
        "methods.csv",
        "differences.csv",
        "chains.csv",
        "missing.csv",
        "written.json",
    }
    assert "result.json cannot be read" in done.stdout
    assert "no fig8_images: " in done.stdout
    assert ": failed: " not in done.stdout
    page = (out / "index.html").read_text()
    assert "result.json cannot be read" in page
    assert "Selected chains" in page
    assert "fig8_images" in page


def test_two_reports_into_one_folder_are_written_one_after_the_other(tmp_path: Path) -> None:
    write_made_run(tmp_path / "one")
    out, told = tmp_path / "report", []
    out.mkdir()
    other = Thread(target=lambda: told.append(report(tmp_path / "one", out=out)))
    with file_lock(out / LOCK, what="writing this report"):
        other.start()
        other.join(timeout=3)
        assert other.is_alive()
        assert not (out / "index.html").exists()
    other.join()
    assert "waiting: another process is writing this report" in told[0]
    assert (out / "index.html").is_file()


def test_a_second_report_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    write_made_run(tmp_path / "one")
    report(tmp_path / "one", out=tmp_path / "report")
    old = tmp_path / "report" / "figures" / "fig6_methods.png"
    assert old.is_file()
    direct = {"direct/auc": 0.8}
    write_made_run(
        tmp_path / "two", tasks=("direct",), weights=(1.0,), chain=("cnn",), numbers=direct
    )
    text = report(tmp_path / "two", out=tmp_path / "report")
    assert not old.exists()
    assert "no fig6_methods: the chain has one task, so there is no v1" in text


def test_several_problems_have_a_report_each(tmp_path: Path) -> None:
    for problem in ("made", "other"):
        write_made_run(tmp_path / "runs", problem=problem)
    report(tmp_path / "runs", out=tmp_path / "report")
    top = (tmp_path / "report" / "index.html").read_text()
    for problem in ("made", "other"):
        folder = tmp_path / "report" / problem
        assert f"{problem}/index.html" in top
        assert set(pd.read_csv(folder / "results.csv")["problem"]) == {problem}
        assert (folder / "index.html").is_file()


def test_only_unfinished_runs_give_a_page_that_says_so(tmp_path: Path) -> None:
    begun = tmp_path / "runs" / "begun"
    begun.mkdir(parents=True)
    (begun / "log").write_text("")
    text = report(tmp_path / "runs", out=tmp_path / "report")
    assert "unfinished or still running" in text
    assert "unfinished or still running" in (tmp_path / "report" / "index.html").read_text()


def test_no_runs_and_no_place_to_write_are_errors(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no run directory below"):
        report(tmp_path / "empty", out=tmp_path / "report")
    assert not (tmp_path / "report").exists()
    write_made_run(tmp_path / "runs")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="out: cannot write into"):
        report(tmp_path / "runs", out=tmp_path / "file")


def test_a_watched_report_is_renewed_until_no_run_is_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written where nothing has changed; the last page does not renew itself."""
    runs, out = tmp_path / "runs", tmp_path / "report"
    write_made_run(runs)
    begun = runs / "made" / "spos" / "begun"
    begun.mkdir()
    (begun / "log").write_text("")
    pages, looks = [], []

    def meanwhile(seconds: float) -> None:
        """A second look finds nothing new; before the third one the run ends."""
        assert seconds >= EVERY
        data, _ = held(out / "index.html")
        pages.append((data["renew"], len(data["runs"]["rows"])))
        looks.append((out / "index.html").stat().st_mtime_ns)
        if len(looks) == 2:
            shutil.rmtree(begun)
            write_made_run(runs, seed=1)

    monkeypatch.setattr("msnas.report.build.draw_figures", lambda *_: lambda: ([], []))
    clock = SimpleNamespace(sleep=meanwhile, monotonic=time.monotonic)
    monkeypatch.setattr("msnas.report.build.time", clock)
    watch_report([runs], out, Console(file=io.StringIO()))
    assert pages == [(EVERY, 2)] * 2
    assert looks[0] == looks[1]
    data, _ = held(out / "index.html")
    assert data["renew"] == 0
    assert [row[data["runs"]["columns"].index("status")] for row in data["runs"]["rows"]] == [
        "finished"
    ] * 2
