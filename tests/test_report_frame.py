"""Runs as tables: what is a column, what is told apart by a label, what a scan's list means."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_scan import write_made_run

from msnas.errors import DataError
from msnas.report.collect import FinishedRun, collect_runs
from msnas.report.frame import conditions_frame, frame_of
from msnas.report.quantities import quantities_of
from msnas.report.settings import labels


def runs_of(place: Path) -> list[FinishedRun]:
    return collect_runs([place])[0]


def test_a_row_holds_the_runs_numbers(tmp_path: Path) -> None:
    numbers = {"calibrate/mse": 0.25, "classify/auc": 0.8, "validity/per": {"pt": 0.9}}
    write_made_run(tmp_path, seed=3, key="abc", weights=(0.9, 0.1), numbers=numbers)
    (row,) = frame_of(runs_of(tmp_path)).to_dict("records")
    expected = {
        "key": "abc",
        "problem": "made",
        "method": "spos",
        "label": "spos",
        "seed": 3,
        "v1": 0.9,
        "chain": "cnn-lstm",
        "weight/classify": 0.1,
        "selected/calibrate": "cnn",
        "valid/calibrate/mse": 0.26,
        "test/classify/auc": 0.8,
        "test/validity/per/pt": 0.9,
        "seconds/pretrain": 11.0,
        "seconds/total": 16.0,
        "seconds/this_run": 6.0,
        "epochs/pretrain": 7,
        "pretrained": True,
        "versions/torch": "2",
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    assert not [name for name in row if name.startswith("set/")]


def test_what_differs_is_a_column_and_part_of_the_label(tmp_path: Path) -> None:
    for seed in (0, 1):
        for sampling in ("uniform", "fair"):
            write_made_run(tmp_path, seed=seed, of_method={"sampling": sampling})
        write_made_run(tmp_path, "darts", seed, settings={"pretrain": {"enabled": False}})
        write_made_run(tmp_path, "darts", seed, settings={"pretrain": {"enabled": True}})
        write_made_run(tmp_path, "grid_search", seed, settings={"output": f"elsewhere{seed}"})
    table = frame_of(runs_of(tmp_path))
    assert set(table["label"]) == {
        "spos sampling=uniform",
        "spos sampling=fair",
        "darts pretrain=false",
        "darts pretrain=true",
        "grid_search",
    }
    assert {name for name in table if name.startswith("set/")} == {
        "set/method.sampling",
        "set/pretrain.enabled",
    }


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ({"data": {"events": 10}}, {"data": {"events": 20}}, ["spos events=10", "spos events=20"]),
        ({"new": None}, {}, ["spos", "spos"]),
        ({"recipe": {"lr": 0}}, {"recipe": {"lr": 0.0}}, ["spos", "spos"]),
        ({"trainer": {"threads": 1}}, {"trainer": {"threads": 2}}, ["spos", "spos"]),
        (
            {"weighting": {"_target_": "a.b.Fixed"}},
            {"weighting": {"_target_": "a.b.GradNorm", "alpha": 1.5}},
            ["spos weighting=Fixed", "spos weighting=GradNorm"],
        ),
        (
            {"recipe": {"search": {"epochs": 1}, "posttrain": {"epochs": 1}}},
            {"recipe": {"search": {"epochs": 2}, "posttrain": {"epochs": 3}}},
            [
                "spos posttrain.epochs=1 search.epochs=1",
                "spos posttrain.epochs=3 search.epochs=2",
            ],
        ),
        (
            {"conditioning": None},
            {"conditioning": {"parameters": ["task_weight"], "layers": [32]}},
            ["spos", "spos conditioning=task_weight"],
        ),
    ],
)
def test_labels_of_two_runs(
    tmp_path: Path, one: dict[str, Any], other: dict[str, Any], told: list[str]
) -> None:
    for number, settings in enumerate((one, other)):
        write_made_run(tmp_path, key=str(number), settings=settings)
    assert list(frame_of(runs_of(tmp_path))["label"]) == told


def test_weights_of_three_tasks_are_never_one_curve(tmp_path: Path) -> None:
    for weights in ((0.2, 0.4, 0.4), (0.2, 0.2, 0.6), (0.6, 0.2, 0.2)):
        write_made_run(tmp_path, tasks=("a", "b", "c"), weights=weights, chain=("cnn",) * 3)
    table = frame_of(runs_of(tmp_path))
    assert list(table["label"]) == [
        "spos others=0.5:0.5",
        "spos others=0.25:0.75",
        "spos others=0.5:0.5",
    ]


def test_labels_can_leave_a_setting_out() -> None:
    settings = [{"method.a": 1, "pretrain.enabled": on} for on in (True, False)]
    assert labels(["x", "x"], settings) == ["x pretrain=true", "x pretrain=false"]
    assert labels(["x", "x"], settings, without=["pretrain"]) == ["x", "x"]


def test_settings_of_mixed_types_survive_parquet(tmp_path: Path) -> None:
    for number, value in enumerate((1, "auto", None, [1, 2], True)):
        write_made_run(tmp_path, key=str(number), settings={"odd": value, "even": number})
    table = frame_of(runs_of(tmp_path))
    back = pd.read_parquet(io.BytesIO(table.to_parquet()))
    assert list(back["set/even"]) == [0, 1, 2, 3, 4]
    assert list(back["set/odd"].dropna()) == ["1", "auto", "1-2", "True"]


def test_conditions_are_rows_with_their_own_v1(tmp_path: Path) -> None:
    conditions = [
        {
            "parameters": {"task_weight": v1},
            "valid": {"classify/auc": 0.7},
            "test": {"classify/auc": 0.6 + v1 / 10, "calibrate/mse": 1 - v1},
        }
        for v1 in (0.1, 0.9)
    ]
    write_made_run(tmp_path, "spos", key="plain")
    assert conditions_frame(runs_of(tmp_path)).empty
    settings = {"conditioning": {"parameters": ["task_weight"]}}
    write_made_run(
        tmp_path, "spos", key="yoto", settings=settings, result={"conditions": conditions}
    )
    table = conditions_frame(runs_of(tmp_path))
    assert list(table["key"]) == ["yoto", "yoto"]
    assert set(table["label"]) == {"spos, one training (YOTO)"}
    assert list(table["v1"]) == [0.1, 0.9]
    assert list(table["weight/classify"]) == pytest.approx([0.9, 0.1])
    assert list(table["test/classify/auc"]) == pytest.approx([0.61, 0.69])


def test_the_first_metric_with_a_direction_counts(tmp_path: Path) -> None:
    numbers = {"calibrate/bias": 0.1, "calibrate/mse": 0.3, "classify/auc": 0.8}
    directions = {"calibrate/bias": None, "calibrate/mse": False, "classify/auc": True}
    write_made_run(tmp_path / "two", numbers=numbers, result={"directions": directions})
    found = quantities_of(runs_of(tmp_path / "two"))
    assert [one.name for one in found.all] == ["calibrate/mse", "classify/auc"]
    assert found.first is not None
    assert found.first.higher_is_better is False
    write_made_run(
        tmp_path / "one",
        tasks=("direct",),
        weights=(1.0,),
        chain=("cnn",),
        numbers={"direct/class_accuracy": 0.9},
    )
    found = quantities_of(runs_of(tmp_path / "one"))
    assert found.first is None
    assert found.validity is None
    assert found.last is not None
    assert found.last.label == "class accuracy of direct"


def test_a_scan_means_the_runs_of_its_list(tmp_path: Path) -> None:
    listed = write_made_run(tmp_path / "runs", key="listed")
    write_made_run(tmp_path / "runs", key="other")
    begun = tmp_path / "runs" / "begun"
    begun.mkdir()
    (begun / "log").write_text("")
    scan = tmp_path / "sweeps" / "mine"
    scan.mkdir(parents=True)
    runs = [
        {"key": "listed", "directory": str(listed.resolve()), "overrides": [], "status": "done"},
        {"directory": "../../runs/begun", "overrides": ["seed=1"], "status": "running"},
        {"directory": "../../runs/never", "overrides": ["seed=2"], "status": "left"},
    ]
    (scan / "scan.json").write_text(json.dumps({"schema": 1, "name": "mine", "runs": runs}))
    finished, others = collect_runs([scan])
    assert [run.result["key"] for run in finished] == ["listed"]
    assert [one.reason for one in others] == [
        "unfinished or still running",
        "not started (seed=2)",
    ]
    (scan / "scan.json").write_text('{"schema": 1}')
    with pytest.raises(DataError, match=r"scan\.json: runs: Field required"):
        collect_runs([scan])
    (scan / "scan.json").write_text('{"schema": 2, "runs": []}')
    with pytest.raises(DataError, match=r"scan\.json: schema: .*found 2"):
        collect_runs([scan])
