"""Nothing that is read runs, and what is odd is named: results, stores and scans of others."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUIET, compose_config
from hostile_run import TINY, Trap, assert_refused, doors, forge
from rich.console import Console

from msnas.errors import DataError
from msnas.evaluate import Settings as EvaluateSettings
from msnas.evaluate import evaluate_run
from msnas.plots.draw import Figure
from msnas.report.build import build_report
from msnas.results.runs import Runs, collect
from msnas.run import run
from msnas.storage import read_record, write_record
from msnas.training.store import read_torch

ODD_RESULTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a path as the problem": lambda one: {**one, "problem": "/elsewhere"},
    "a way up as the problem": lambda one: {**one, "problem": "../elsewhere"},
    "a way up as the method": lambda one: {**one, "method": "../../elsewhere"},
    "a way up as the key": lambda one: {**one, "key": "../../elsewhere"},
    "schema 2": lambda one: {**one, "schema": 2},
    "a seed of text": lambda one: {**one, "seed": "0"},
    "no seed": lambda one: {key: value for key, value in one.items() if key != "seed"},
    "weights of text": lambda one: {**one, "task_weights": {"toy_regression": "much"}},
    "no weights": lambda one: {**one, "task_weights": {}},
    "weights of another": lambda one: {**one, "task_weights": {"other": 1.0}},
    "metrics of lists": lambda one: {**one, "metrics": {"valid": [], "test": []}},
    "metrics of text": lambda one: {**one, "metrics": {"valid": {"a": "b"}, "test": {}}},
    "chains of numbers": lambda one: {**one, "chains": [1, 2]},
    "another chain": lambda one: {**one, "selected": {"toy_regression": "curve"}},
    "another candidate": lambda one: {
        **one,
        "selected": {"toy_regression": "x", "toy_classification": "y"},
    },
    "stages of lists": lambda one: {**one, "stages": {"search": []}},
    "directions of text": lambda one: {**one, "directions": {"a": "up"}},
    "data of text": lambda one: {**one, "data": "toy"},
    "conditions of numbers": lambda one: {**one, "conditions": [1]},
    "status of a number": lambda one: {**one, "status": 3},
}


@pytest.mark.parametrize("name", ODD_RESULTS)
def test_an_odd_result_is_skipped_and_named(
    theirs: Path, finished: Path, tmp_path: Path, name: str
) -> None:
    forge(theirs, result=ODD_RESULTS[name](read_record(theirs / "result.json")))
    runs = collect([tmp_path / "theirs", finished])
    used, (other,) = runs.finished, runs.others
    assert len(used) == 1
    assert "result.json" in other.reason
    for door in doors(theirs, tmp_path):
        with pytest.raises(DataError):
            door()


TEXTS = {
    "brackets": "[" * 200_000,
    "brackets in a value": '{"schema": 1, "a": ' + "[" * 200_000,
    "a number too long": '{"schema": 1, "seed": ' + "9" * 10_000 + "}",
    "a list": "[]",
    "a number": "3",
    "nothing": "",
    "bytes": "\udc80",
    "files of a list": '{"schema": 1, "files": [], "sha256": "0"}',
    "files that lead away": '{"schema": 1, "files": {"../../x": "0"}}',
    "no checksum": '{"schema": 1, "files": {}}',
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_result_that_is_none_is_skipped_and_named(
    theirs: Path, finished: Path, tmp_path: Path, name: str
) -> None:
    (theirs / "result.json").write_bytes(TEXTS[name].encode(errors="surrogateescape"))
    runs = collect([tmp_path / "theirs", finished])
    used, (other,) = runs.finished, runs.others
    assert len(used) == 1
    assert "result.json" in other.reason


def broken(_: Runs) -> Any:
    """A figure that these runs are too odd for."""
    raise ZeroDivisionError


def test_a_report_lives_with_odd_runs_and_removes_only_its_own(
    theirs: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Odd runs are in the list of those without a result; files of others stay."""
    figure = Figure(name="broken", title="Broken", caption="Broken.", chart=broken)
    monkeypatch.setattr("msnas.plots.draw.figures_found", lambda: [figure])
    keep = tmp_path / "elsewhere"
    for folder in (keep, tmp_path / "report"):
        for name in ("tables/mine.csv", "figures/mine.png"):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("mine")
    result = read_record(theirs / "result.json")
    forge(theirs, result={**result, "problem": str(keep)})
    for _ in range(2):
        screen = io.StringIO()
        build_report(
            [tmp_path / "theirs", finished], tmp_path / "report", Console(file=screen, width=300)
        )
        assert "problem: Value error, is no name of a file or folder" in screen.getvalue()
        assert "no broken: failed: ZeroDivisionError" in screen.getvalue()
    for folder in (keep, tmp_path / "report"):
        assert (folder / "tables/mine.csv").read_text() == "mine"
        assert (folder / "figures/mine.png").read_text() == "mine"
    assert sorted(path.name for path in keep.rglob("*.*")) == ["mine.csv", "mine.png"]
    page = (tmp_path / "report/index.html").read_text()
    assert "is no name of a file or folder" in page


def test_an_earlier_report_is_replaced_but_for_what_someone_changed(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msnas.plots.draw.figures_found", list)
    out = tmp_path / "report"
    build_report([finished], out, QUIET)
    written = read_record(out / "tables/written.json")["files"]
    assert "methods.csv" in written
    stale, changed = (out / "tables" / name for name in ("stale.csv", "changed.csv"))
    for path in (stale, changed):
        path.write_text("earlier")
    write_record(out / "tables/written.json", {}, files=[*written, stale.name, changed.name])
    changed.write_text("changed by hand")
    build_report([finished], out, QUIET)
    assert not stale.exists()
    assert changed.read_text() == "changed by hand"
    assert read_record(out / "tables/written.json")["files"] == written


@pytest.mark.parametrize("name", ["model.ckpt", "weights.pt", "epoch-0.ckpt"])
def test_pickles_are_not_run(theirs: Path, finished: Path, tmp_path: Path, name: str) -> None:
    trapped = {"selected": ["curve", "logistic"], "weights": Trap(tmp_path / "mark")}
    torch.save(trapped, theirs / name)
    with pytest.raises(DataError, match=name):
        read_torch(theirs / name)
    if name == "model.ckpt":
        forge(theirs)
        assert_refused(theirs, tmp_path, said=r"model\.ckpt")
    else:
        ours = tmp_path / "ours"
        shutil.copytree(finished / "cache", ours / "cache")
        for entry in sorted((ours / "cache/posttrain").iterdir()):
            if entry.suffix == ".lock":
                continue
            if name == "epoch-0.ckpt":
                entry = entry.rename(entry.with_name(entry.name + ".partial"))
            torch.save(trapped, entry / name)
            content = {"checkpoint": name} if entry.suffix == ".partial" else {}
            write_record(entry / "record.json", content, files=[name])
        words = ["problem=toy", "data.events=200", "trainer=cpu", "logger=none"]
        result = run(compose_config([*words, *TINY, f"output={ours}"]), console=QUIET)
        assert result["stages"]["posttrain"]["cached"] == []
    assert not (tmp_path / "mark").exists()


def test_a_model_of_another_run_is_an_error(theirs: Path) -> None:
    model = torch.load(theirs / "model.ckpt", weights_only=True)
    for changed in (
        {**model, "selected": ["a", "b"]},
        {**model, "weights": {}},
        {**model, "weights": []},
        {**model, "scales": {}},
        {"format": 1},
        [1],
    ):
        torch.save(changed, theirs / "model.ckpt")
        forge(theirs)
        with pytest.raises(DataError, match=theirs.name):
            evaluate_run(EvaluateSettings(run=str(theirs)), {})


SCANS: Mapping[str, Any] = {
    "a directory that is no text": {"schema": 1, "runs": [{"directory": 3}]},
    "an empty directory": {"schema": 1, "runs": [{"directory": "a\0b"}]},
    "runs of text": {"schema": 1, "runs": "all"},
    "overrides of numbers": {"schema": 1, "runs": [{"directory": "x", "overrides": [1]}]},
    "no runs": {"schema": 1},
    "a list": [1],
}


@pytest.mark.parametrize("name", SCANS)
def test_a_list_of_runs_that_is_none_is_named(finished: Path, tmp_path: Path, name: str) -> None:
    scan = tmp_path / "scans" / "theirs"
    scan.mkdir(parents=True)
    (scan / "scan.json").write_text(json.dumps(SCANS[name]))
    with pytest.raises(DataError, match=r"scan\.json"):
        collect([scan])
    runs = collect([tmp_path / "scans", finished])
    used, (other,) = runs.finished, runs.others
    assert len(used) == 1
    assert "scan.json" in other.reason


def test_a_list_may_name_what_is_not_there(tmp_path: Path) -> None:
    places = ["x" * 300, "gone", "/etc", "../" * 900]
    content = {"schema": 1, "runs": [{"directory": place} for place in places]}
    (tmp_path / "scan.json").write_text(json.dumps(content))
    runs = collect([tmp_path])
    used, others = runs.finished, runs.others
    assert not used
    assert others
