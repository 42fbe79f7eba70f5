"""Results read back: as they were, as tables, and which of them are alike."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from made_scan import write_made_run

from msnas.errors import DataError
from msnas.results.alike import JUDGE, METHOD, alike, differing, labels_of, largest, settings_of
from msnas.results.frame import tidy_frame, wide_frame
from msnas.results.quantity import quantities_of
from msnas.results.result import Result, best_of
from msnas.results.runs import Runs, collect

DATA = Path(__file__).parent / "data"


def runs_of(place: Path) -> list[Result]:
    return list(collect([place]).finished)


def test_a_row_holds_the_runs_numbers(tmp_path: Path) -> None:
    numbers = {"calibrate/mse": 0.25, "classify/auc": 0.8, "validity/per": {"pt": 0.9}}
    write_made_run(tmp_path, seed=3, key="abc", weights=(0.9, 0.1), numbers=numbers)
    (row,) = wide_frame(runs_of(tmp_path)).to_dict("records")
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
    table = wide_frame(runs_of(tmp_path))
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
    assert list(wide_frame(runs_of(tmp_path))["label"]) == told


def test_weights_of_three_tasks_are_never_one_curve(tmp_path: Path) -> None:
    for weights in ((0.2, 0.4, 0.4), (0.2, 0.2, 0.6), (0.6, 0.2, 0.2)):
        write_made_run(tmp_path, tasks=("a", "b", "c"), weights=weights, chain=("cnn",) * 3)
    table = wide_frame(runs_of(tmp_path))
    assert list(table["label"]) == [
        "spos others=0.5:0.5",
        "spos others=0.25:0.75",
        "spos others=0.5:0.5",
    ]


def test_labels_can_leave_a_setting_out() -> None:
    settings = [{"method.a": 1, "pretrain.enabled": on} for on in (True, False)]
    assert labels_of(["x", "x"], settings) == ["x pretrain=true", "x pretrain=false"]
    assert labels_of(["x", "x"], settings, without=["pretrain"]) == ["x", "x"]


def test_settings_of_mixed_types_survive_parquet(tmp_path: Path) -> None:
    for number, value in enumerate((1, "auto", None, [1, 2], True)):
        write_made_run(tmp_path, key=str(number), settings={"odd": value, "even": number})
    table = wide_frame(runs_of(tmp_path))
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
    assert Runs(runs_of(tmp_path)).conditions.empty
    settings = {"conditioning": {"parameters": ["task_weight"]}}
    write_made_run(
        tmp_path, "spos", key="yoto", settings=settings, result={"conditions": conditions}
    )
    table = Runs(runs_of(tmp_path)).conditions
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
    found = collect([scan])
    assert [run.key for run in found.finished] == ["listed"]
    assert [one.reason for one in found.others] == [
        "unfinished or still running",
        "not started (seed=2)",
    ]
    (scan / "scan.json").write_text('{"schema": 1}')
    with pytest.raises(DataError, match=r"scan\.json: runs: Field required"):
        collect([scan])
    (scan / "scan.json").write_text('{"schema": 2, "runs": []}')
    with pytest.raises(DataError, match=r"scan\.json: schema: .*found 2"):
        collect([scan])


# ------------------------------------------------------------------ one result


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Its keys in their order; an older one lacks some, a newer one may have more."""
    conditioned = {
        "point": {"task_weight": 0.5},
        "conditions": [{"parameters": {"task_weight": 0.1}, "valid": {}, "test": {}}],
        "winners": [{"parameters": {"task_weight": 0.1}, "selected": {}, "regret": 0.0}],
        "probabilities": {"calibrate": {"cnn": 1.0}},
    }
    directory = write_made_run(tmp_path)
    record = json.loads((directory / "result.json").read_text())
    config = yaml.safe_load((directory / "config.yaml").read_text())
    stages, versions, status = (record.pop(name) for name in ("stages", "versions", "status"))
    for more in ({}, conditioned):
        whole = {**record, "versions": versions, "status": status, **more, "stages": stages}
        result = Result.of(whole, config=config, directory=directory)
        assert list(result.to_json().items()) == list(whole.items())
    older = {key: value for key, value in record.items() if key not in ("key", "parameters")}
    result = Result.of({**older, "later": 1}, config=config, directory=directory)
    assert (result.key, result.parameters, result.seconds) == (directory.name, None, {})
    assert older.items() <= result.to_json().items()


def test_what_a_result_says_of_itself(tmp_path: Path) -> None:
    run = Result.read(write_made_run(tmp_path, weights=(0.9, 0.1), chain=("mlp", "lstm")))
    assert (run.tasks, run.supervised, run.v1) == (["calibrate", "classify"], run.tasks, 0.9)
    assert (run.path, run.chain) == (("mlp", "lstm"), "mlp-lstm")
    assert run.candidates == [["cnn", "mlp"], ["lstm", "mlp"]]
    assert (run.weighting, run.fixed_v1, run.conditioned) == ("Fixed", 0.9, False)
    assert run.weights_at({"task_weight": 0.25}) == {"calibrate": 0.25, "classify": 0.75}
    assert run.seconds == {"pretrain": 11.0, "search": 5.0}
    assert (run.seconds_here, run.training_seconds) == (6.0, 5.0)
    assert run.directed("test") == {"calibrate/mse": False, "classify/auc": True}
    aggregated = {"weighting": {"_target_": "a.Jacobian", "aggregator": {"_target_": "b.UPGrad"}}}
    other = Result.read(write_made_run(tmp_path, settings=aggregated))
    assert (other.weighting, other.fixed_v1, other.v1) == ("UPGrad", None, 0.5)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"scalarizer": {"_target_": "b.FAMO"}}, "FAMO"),
        ({"scalarizer": {"_target_": "b.Random"}}, "Random of losses"),
        ({"aggregator": {"_target_": "b.Random"}}, "Random"),
        ({"aggregator": {"_target_": "b.G", "gramian_weighting": {"_target_": "b.CR"}}}, "CR"),
    ],
    ids=["scalarizer", "of losses", "of gradients", "without a name"],
)
def test_a_weighting_of_a_library_is_told_by_its_class(
    settings: dict[str, Any], told: str, tmp_path: Path
) -> None:
    weighting = {"weighting": {"_target_": "a.Own", **settings}}
    assert Result.read(write_made_run(tmp_path, settings=weighting)).weighting == told


def test_conditions_along_one_parameter(tmp_path: Path) -> None:
    points = [{"a": a, "b": b} for a in (0.0, 1.0, 2.0) for b in (0.0, 1.0, 2.0)]
    conditions = [{"parameters": point} for point in points]
    run = Result.read(write_made_run(tmp_path, result={"conditions": conditions}))
    assert [one["parameters"] for one in run.along("a")] == [
        {"a": a, "b": 1.0} for a in (0.0, 1.0, 2.0)
    ]
    assert run.along("c") == []


@pytest.mark.parametrize("higher", [True, False])
def test_the_best_run_is_the_best_on_validation_data(tmp_path: Path, higher: bool) -> None:
    directions = {"calibrate/mse": False, "classify/auc": higher}
    for auc in (0.7, 0.9, float("nan"), 0.8):
        numbers = {"calibrate/mse": 1.0, "classify/auc": auc}
        write_made_run(tmp_path, numbers=numbers, result={"directions": directions})
    best = best_of(runs_of(tmp_path))
    assert best is not None
    assert (best.judged, best.test["classify/auc"]) == ("classify/auc", 0.9 if higher else 0.7)
    without = {"calibrate/mse": False, "classify/auc": None}
    write_made_run(tmp_path / "none", result={"directions": without})
    assert best_of(runs_of(tmp_path / "none")) is None


# ------------------------------------------------------------------ tidy


def test_the_tidy_table_holds_every_number_once(tmp_path: Path) -> None:
    conditions = [
        {"parameters": {"task_weight": v1}, "test": {"classify/auc": v1}} for v1 in (0.1, 0.9)
    ]
    write_made_run(tmp_path, key="plain")
    write_made_run(tmp_path, key="yoto", result={"conditions": conditions})
    runs = runs_of(tmp_path)
    tidy = tidy_frame(runs)
    assert not tidy.duplicated(["run", "condition", "part", "quantity"]).any()
    own = tidy[(tidy["key"] == "plain") & (tidy["part"] == "test")]
    assert dict(zip(own["quantity"], own["value"], strict=True)) == runs[0].test
    of_conditions = tidy[tidy["condition"] > 0]
    assert list(of_conditions["v1"]) == list(of_conditions["value"]) == [0.1, 0.9]
    assert list(of_conditions["parameter/task_weight"]) == [0.1, 0.9]
    wide = wide_frame(runs)
    pivot = tidy[tidy["condition"] == 0].pivot_table(
        index="run", columns=["part", "quantity"], values="value"
    )
    assert {("valid", "loss"), ("test", "classify/auc")} < set(pivot)
    for part, quantity in pivot:
        assert list(pivot[part, quantity]) == list(wide[f"{part}/{quantity}"])


# ------------------------------------------------------------------ alike


def test_runs_alike_but_for_some_settings(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_made_run(tmp_path, "grid_search", seed)
        write_made_run(tmp_path, "spos", seed, of_method={"sampling": "fair"})
        write_made_run(tmp_path, "spos", seed, weights=(0.9, 0.1))
    runs = runs_of(tmp_path)
    assert len(alike(runs)) == len(runs)
    assert [len(group.runs) for group in alike(runs, but_for=["seed"])] == [2, 2, 2]
    equal, other = alike(runs, but_for=["seed", *METHOD])
    assert {label: list(seeds) for label, seeds in equal.by_label().items()} == {
        "grid_search": [0, 1],
        "spos": [0, 1],
    }
    assert [run.v1 for run in other.runs] == [0.9, 0.9]
    assert [len(group.runs) for group in alike(runs, but_for=["seed", "weight", *METHOD])] == [6]
    found, left = largest(runs, but_for=["seed", "method"])
    assert (len(found), left) == (2, 4)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"output": "a"}, {"output": "b"}, True),
        ({"logger": {"_target_": "a"}}, {"logger": {"_target_": "b"}}, True),
        ({"trainer": {"threads": 1}}, {"trainer": {"threads": 2}}, True),
        ({"trainer": {"precision": "32-true"}}, {"trainer": {"precision": "bf16-mixed"}}, False),
        ({"trainer": {"gradient_clip_val": 1}}, {"trainer": {"threads": 1}}, False),
        ({"weighting": {"_target_": "a.Fixed"}}, {"weighting": {"_target_": "b.Fixed"}}, False),
        ({"recipe": {"evaluation_batch": 1}}, {"recipe": {"evaluation_batch": 2}}, False),
        ({"a": {"x": 0}}, {"a": {"x": 0.0}}, True),
        ({"a": {"x": 1}}, {"a": {"x": True}}, False),
        ({"a": None}, {}, True),
    ],
)
def test_which_settings_count(
    tmp_path: Path, one: dict[str, Any], other: dict[str, Any], same: bool
) -> None:
    for settings in (one, other):
        write_made_run(tmp_path, settings=settings)
    runs = runs_of(tmp_path)
    assert (len(alike(runs)) == 1) == same
    told = wide_frame(runs)["label"]
    assert (told.nunique() == 1) == same  # a label keeps what is not alike apart
    assert len(alike(runs, but_for=[*JUDGE, "weighting", "trainer", "a"])) == 1


def test_the_search_of_a_method_without_one_does_not_count(tmp_path: Path) -> None:
    stages = {"search": {"seconds": 1.0, "epochs": {"cnn-lstm": 2}}}
    for epochs in (2, 3):
        recipe = {"recipe": {"search": {"epochs": epochs}}}
        write_made_run(tmp_path, "spos", settings=recipe)
        write_made_run(tmp_path, "grid_search", settings=recipe, result={"stages": stages})
    methods = [group.runs[0].method for group in alike(runs_of(tmp_path))]
    assert methods == ["grid_search", "spos", "spos"]


def test_words_change_no_setting_and_name_the_axes(tmp_path: Path) -> None:
    def tasks(first: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
        candidates = {"candidates": {"cnn": {}, "lstm": {}}}
        return {"tasks": {"calibrate": {**candidates, **first}, "classify": {**candidates, **last}}}

    def axes() -> list[str]:
        return [one.axis for one in quantities_of(runs_of(tmp_path)).all]

    write_made_run(tmp_path, settings=tasks({}, {}))
    assert axes() == ["MSE of calibrate", "AUC of classify"]
    mse = {"label": "squared error", "unit": "(100 GeV)^2"}
    first, last = {"label": "tau", "metrics": {"mse": mse}}, {"label": "H vs Z"}
    write_made_run(tmp_path, settings=tasks({"words": first}, {"words": last}))
    assert differing([settings_of(run) for run in runs_of(tmp_path)]) == []
    assert axes() == ["tau squared error [(100 GeV)^2]", "H vs Z AUC"]


# ------------------------------------------------------------------ of an earlier version


def test_a_run_of_an_earlier_version_is_read_and_kept_as_it_was() -> None:
    """One conditioned on v1, of the time before tasks had words."""
    (run,) = collect([DATA / "run_schema_1"]).finished
    written = json.loads((run.directory / "result.json").read_text())
    record = {key: value for key, value in written.items() if key not in ("files", "sha256")}
    assert json.dumps(run.to_json()) == json.dumps(record)
    assert (run.problem, run.method, run.chain) == ("toy", "spos", "curve-logistic")
    conditions = Runs([run]).conditions
    assert list(conditions["v1"]) == [one["parameters"]["task_weight"] for one in run.conditions]
    assert [one.axis for one in quantities_of([run]).all] == [
        "MSE of toy_regression",
        "AUC of toy_classification",
    ]
