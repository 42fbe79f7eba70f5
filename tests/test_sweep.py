"""`python sweep.py` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from conftest import epochs
from scan_process import TOY, results, said, sweep

from msnas.results.runs import collect

QUICK = (*TOY, *epochs(1), "hydra/launcher=basic")


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods, two seeds; one run raises (a chain of an unknown candidate), one is none."""
    folder = tmp_path_factory.mktemp("scan")
    code = sweep(
        folder, *QUICK, "scan.name=first", "task_weight=0.5", "seed=0,1",
        "method=fixed_chain", "method.chain=[plane,logistic],[plane,nope]",
    )  # fmt: skip
    assert code == 1, said(folder)
    return folder


def test_what_fails_is_listed_and_the_others_finish(scan: Path) -> None:
    found = results(scan)
    assert sorted(one["status"] for one in found) == ["failed", "failed", "finished", "finished"]
    for one in found:
        if one["status"] == "failed":
            assert one["attempts"] == 2
            assert "'nope' is not a candidate" in one["error"]
            assert one["traceback"].startswith("Traceback")
    text = said(scan)
    assert text.count("): method.chain: 'nope' is not a candidate") == 2
    assert text.count("Traceback (most recent call last)") == 1
    assert "2 of 4 runs finished, 2 failed: sweeps/first/scan.json" in text
    written = json.loads((scan / "sweeps/first/scan.json").read_text())
    assert sorted(one["status"] for one in written["runs"]) == [
        *("failed", "failed"),
        *("finished", "finished"),
    ]
    for one in written["runs"]:
        assert (scan / "sweeps/first" / one["directory"] / "config.yaml").is_file()


def test_pretrained_once_per_candidate_and_seed(scan: Path) -> None:
    """A fixed chain pre-trains its own two candidates."""
    assert len(list(scan.glob("runs/cache/pretrain/*/weights.pt"))) == 2 * 2
    for result in results(scan):
        if result["status"] == "finished":
            stage = result["stages"]["pretrain"]
            assert sorted(stage["cached"]) == sorted(stage["epochs"])


def test_runs_print_nothing(scan: Path) -> None:
    assert "Pre-training" not in said(scan)
    assert "Warning" not in said(scan)


def test_a_scan_groups_its_runs_at_the_tracker(tmp_path: Path) -> None:
    words = [one for one in QUICK if one != "logger=none"]
    asked = ("logger=wandb", "scan.name=together", "task_weight=0.5", "seed=0")
    assert sweep(tmp_path, *words, *asked) == 0, said(tmp_path)
    (result,) = tmp_path.glob("runs/toy/spos/*/config.yaml")
    assert yaml.safe_load(result.read_text())["logger"]["group"] == "together"
    assert list(tmp_path.glob("runs/toy/spos/*/wandb/offline-run-*"))


def test_what_is_no_run_is_named_in_the_report(tmp_path: Path) -> None:
    asked = ("scan.name=mixed", "task_weight=0.5,2", "seed=0")
    assert sweep(tmp_path, *QUICK, *asked) == 1
    runs = collect([tmp_path / "sweeps/mixed"])
    finished, others = runs.finished, runs.others
    assert len(finished) == 1
    (other,) = others
    assert other.reason.startswith("no run: task_weight: expected a number from 0 to 1, found 2")


def test_unwritable_output_and_empty_axis(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code = sweep(tmp_path, *QUICK, "output=file/runs", "seed=0", "task_weight=0.5")
    assert code == 1
    assert "NotADirectoryError" in said(tmp_path)
    assert sweep(tmp_path, *QUICK, "seed=range(0,0)") == 1
    assert "error: seed: no value in 'range(0" in said(tmp_path)


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    assert sweep(tmp_path, *QUICK, "dry_run=true", "seed=0,1") == 0
    assert sorted(one.name for one in tmp_path.iterdir()) == ["said"]
    assert "18 of 18 runs to do" in said(tmp_path)
    assert "estimated time with 1 at a time: unknown" in said(tmp_path)


def test_multirun_of_train_is_the_same_scan(tmp_path: Path) -> None:
    words = [one for one in QUICK if not one.startswith(("report", "hydra/launcher"))]
    more = ("seed=0,1", "+report=false")
    assert sweep(tmp_path, "--multirun", *words, *more, script="train.py") == 0, said(tmp_path)
    assert [one["seed"] for one in results(tmp_path)] in ([0, 1], [1, 0])
    assert "2 of 2 runs finished" in said(tmp_path)


def test_an_experiment_that_asks_for_many_runs_is_a_scan(tmp_path: Path) -> None:
    (tmp_path / "own/experiment").mkdir(parents=True)
    text = "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper: {params: {seed: '0,1'}}\n"
    (tmp_path / "own/experiment/many.yaml").write_text(text)
    words = ("hydra.searchpath=[own]", "experiment=many", "+dry_run=true")
    assert sweep(tmp_path, "problem=toy", "logger=none", *words, script="train.py") == 0
    assert "2 of 2 runs to do" in said(tmp_path)
