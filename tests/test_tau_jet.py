"""The problems of taus among jets: their events, their chains, and whole runs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import QUIET, ROOT, compose_config, epochs

from msnas.chain.chain import Chain, check_chain
from msnas.chain.from_config import build_chain
from msnas.data.events import Batch, Events
from msnas.errors import ConfigError
from msnas.losses.momentum import MomentumError
from msnas.momentum import encode_pt
from msnas.parts import read_events
from msnas.plan import make_plan
from msnas.report.build import build_report
from msnas.run import run

MULTITASK = "problem=tau_jet_multitask"
TASKS = ["tau_jet_features", "tau_id", "jet_calibration"]


def overrides(jet_file: Path, output: Path, *more: str) -> list[str]:
    paths = [f"data.file={jet_file}", f"output={output}"]
    return ["trainer=cpu", "logger=none", *paths, *epochs(2), *more]


@pytest.fixture(scope="module")
def multitask(
    jet_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Events]:
    """The configuration of the multi-task problem, and its few events."""
    output = tmp_path_factory.mktemp("runs")
    plan = make_plan(compose_config(overrides(jet_file, output, MULTITASK)))
    return plan.config, read_events(plan)


def first(part: Batch, events: int) -> Batch:
    return {name: value[:events] for name, value in part.items()}


# ------------------------------------------------------------------ the embedded file


def test_the_embedded_file_is_as_described() -> None:
    shapes = {"image": (3, 16, 16), "jet": (4,), "target": (3,), "label": ()}
    with h5py.File(ROOT / "data" / "tau_jet.h5") as file:
        assert {name: item.shape[1:] for name, item in file.items()} == shapes
        assert set(file.attrs) >= {"jet", "target", "image", "processes", "generator", "detector"}
        label, jet, target = file["label"][()], file["jet"][()], file["target"][()]
    assert np.bincount(label).tolist() == [16_517, 8_258]
    turned = np.abs(np.diff(label.astype(int))).mean()
    assert turned == pytest.approx(2 * 2 / 9, abs=0.02), "shuffled: neighbours differ by chance"
    for one in (0, 1):
        share = np.quantile(jet[label == one, 0], [0.05, 0.5, 0.95])
        assert np.round(share).tolist() == ([21, 38, 147] if one == 0 else [22, 37, 81])
    difference = target[:, 2] - jet[:, 2]
    wrapped = (difference + np.pi) % (2 * np.pi) - np.pi
    assert np.quantile(np.hypot(wrapped, target[:, 1] - jet[:, 1]), 0.99) < 0.4


# ------------------------------------------------------------------ configuration


def test_the_task_weight_is_the_classifications() -> None:
    """The shared features have no loss, so no weight."""
    plan = make_plan(compose_config([MULTITASK, "trainer=cpu", "task_weight=0.9"]))
    assert plan.chain == TASKS
    assert plan.weights == {"tau_id": 0.9, "jet_calibration": 0.1}
    given = ["task_weights.tau_id=3", "task_weights.jet_calibration=1"]
    plan = make_plan(compose_config([MULTITASK, "trainer=cpu", *given]))
    assert plan.weights == {"tau_id": 0.75, "jet_calibration": 0.25}
    with pytest.raises(ConfigError, match=r"^task_weight=0\.5: only for a chain of two tasks"):
        make_plan(compose_config(["problem=tau_vs_jet", "trainer=cpu", "task_weight=0.5"]))


@pytest.mark.parametrize("problem", ["tau_vs_jet", "tau_jet_multitask"])
def test_one_short_training_without_pretraining(problem: str) -> None:
    config = compose_config([f"problem={problem}", "trainer=cpu"])
    assert config.pretrain.enabled is False
    chosen = compose_config([f"problem={problem}", "recipe=paper", "pretrain.enabled=true"])
    assert chosen.pretrain.enabled is True
    for stage in ("pretrain", "search", "posttrain"):
        assert config.recipe[stage].epochs == 10 <= config.recipe[stage].patience


def test_widths_are_settings(multitask: tuple[dict[str, Any], Events]) -> None:
    trunks = [
        "tasks.tau_jet_features.candidates.residual_cnn.planes=16",
        "tasks.tau_jet_features.candidates.residual_cnn.stride=1",
        "tasks.tau_jet_features.candidates.residual_cnn.width=32",
        "tasks.tau_jet_features.candidates.residual_mlp.width=32",
    ]
    heads = [
        "tasks.tau_jet_features.output.shape=[32]",
        "tasks.tau_id.candidates.head.input_size=32",
        "tasks.tau_id.candidates.mlp.input_size=32",
        "tasks.jet_calibration.candidates.head.input_size=36",
        "tasks.jet_calibration.candidates.mlp.input_size=36",
    ]
    _, events = multitask
    plan = make_plan(compose_config([MULTITASK, "trainer=cpu", *trunks, *heads]))
    check_chain(build_chain(plan.config["tasks"], plan.chain, seed=0), events.train)
    plan = make_plan(compose_config([MULTITASK, "trainer=cpu", *trunks]))
    said = r"residual_cnn: found an output of shape \[32\] per event, expected \[64\]"
    with pytest.raises(ConfigError, match=said):
        check_chain(build_chain(plan.config["tasks"], plan.chain, seed=0), events.train)


# ------------------------------------------------------------------ what a chain computes


def test_calibration_by_hand() -> None:
    """One momentum per event: pT 200 GeV at eta = phi = 0 for 100 is an error of 1 (100 GeV)^2."""
    pt = encode_pt(torch.tensor([200.0, 100.0, 100.0]))
    output = torch.stack((pt, torch.zeros(3), torch.tensor([0.0, math.pi, math.pi / 2])), 1)
    target = torch.tensor([[math.log(100.1), 0.0, 0.0]]).expand(3, 3)
    loss = MomentumError(reduction="event_sum")(output, target)
    assert loss.tolist() == pytest.approx([1.0, 4.0, 2.0], abs=1e-4)


def test_both_tasks_train_the_shared_features(multitask: tuple[dict[str, Any], Events]) -> None:
    config, events = multitask
    batch = first(events.train, 40)
    for trunk in ("residual_cnn", "residual_mlp"):
        chain = build_chain(config["tasks"], TASKS, seed=0).only((trunk, "head", "head"))
        check_chain(chain, batch)
        outputs = chain.run(batch, (trunk, "head", "head"))
        assert [tuple(one.shape) for one in outputs] == [(40, 64), (40,), (40, 3)]
        losses = chain.losses(outputs, batch)
        assert len(losses) == 2, "the features have no loss"
        of_task = []
        for index, loss in enumerate(losses):
            chain.zero_grad()
            loss.backward(retain_graph=True)
            norms = {task: gradient(chain, task) for task in TASKS}
            assert norms["tau_jet_features"] > 0
            assert norms[TASKS[index + 1]] > 0
            assert norms[TASKS[2 - index]] == 0, "the other task's head learns nothing from it"
            of_task.append(norms["tau_jet_features"])
        assert of_task[0] != of_task[1]


def gradient(chain: Chain, task: str) -> float:
    """Norm of the gradient of a task's candidates; 0 without one."""
    grads = [value.grad for value in chain.candidates[task].parameters()]
    return float(sum(one.square().sum() for one in grads if one is not None)) ** 0.5


def test_only_tasks_with_a_truth_can_learn_alone(multitask: tuple[dict[str, Any], Events]) -> None:
    config, _ = multitask
    chain = build_chain(config["tasks"], TASKS, seed=0)
    assert [chain.pretrains(level) for level in range(3)] == [False, False, False]


def test_truth_is_no_input(multitask: tuple[dict[str, Any], Events]) -> None:
    """Neither the label nor the true momentum changes any output."""
    config, events = multitask
    chain = build_chain(config["tasks"], TASKS, seed=0).eval()
    batch = first(events.train, 10)
    other = {**batch, "label": 1 - batch["label"], "target": batch["target"] + 1}
    for path, outputs in chain.walk(batch, chain.paths()):
        for one, again in zip(outputs, chain.run(other, path), strict=True):
            assert torch.equal(one, again)


# ------------------------------------------------------------------ runs


@pytest.fixture(scope="module")
def single(jet_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every candidate of the one-task problem, trained; 120 + 120 jets, 13 + 120 in training."""
    output = tmp_path_factory.mktemp("runs")
    words = overrides(jet_file, output, "problem=tau_vs_jet", "method=grid_search")
    result = run(compose_config(words), console=QUIET)
    (directory,) = (path.parent for path in output.rglob("result.json"))
    return {**result, "log": (directory / "log").read_text(), "directory": directory}


def test_every_candidate_of_the_single_task_runs(single: dict[str, Any]) -> None:
    tried = {line["selected"]["tau_id"] for line in single["chains"]}
    assert tried == {"residual_cnn", "residual_mlp"}
    assert "pretrain" not in single["stages"]
    assert single["status"] == "finished"


def test_the_real_counts_are_told(single: dict[str, Any]) -> None:
    counts = {"train": {"0": 120, "1": 13}, "valid": {"0": 40, "1": 40}, "test": {"0": 40, "1": 40}}
    assert single["data"]["classes"] == counts
    assert single["data"]["events"] == 120 + 13 + 160
    line = next(line for line in single["log"].splitlines() if "events by label" in line)
    assert line.endswith(
        "events by label: train {'0': 120, '1': 13}, valid {'0': 40, '1': 40}, "
        "test {'0': 40, '1': 40}"
    )
    written = json.loads((single["directory"] / "result.json").read_text())
    assert written["data"]["classes"] == counts


def test_numbers_per_class_fit_the_confusion_matrix(single: dict[str, Any]) -> None:
    test = single["metrics"]["test"]
    matrix = test["tau_id/confusion"]
    assert sum(matrix.values()) == 80
    jets = matrix["jet_as_jet"] / (matrix["jet_as_jet"] + matrix["jet_as_tau"])
    taus = matrix["tau_as_tau"] / (matrix["tau_as_tau"] + matrix["tau_as_jet"])
    assert test["tau_id/major_accuracy"] == pytest.approx(jets)
    assert test["tau_id/minor_accuracy"] == pytest.approx(taus)
    assert test["tau_id/balanced_accuracy"] == pytest.approx((jets + taus) / 2)
    assert 0 <= test["tau_id/auc"] <= 1


@pytest.mark.parametrize("method", ["grid_search", "spos", "fixed_chain"])
def test_the_multi_task_runs(jet_file: Path, tmp_path: Path, method: str) -> None:
    words = overrides(jet_file, tmp_path, MULTITASK, f"method={method}", "data.events=200")
    result = run(compose_config(words), console=QUIET)
    chains = {tuple(line["selected"].values()) for line in result["chains"]}
    if method == "fixed_chain":
        assert chains == {("residual_cnn", "head", "head")}
    else:
        trunks, heads = ("residual_cnn", "residual_mlp"), ("head", "mlp")
        assert chains == {(a, b, c) for a in trunks for b in heads for c in heads}
    assert list(result["task_weights"]) == ["tau_id", "jet_calibration"]
    test = result["metrics"]["test"]
    assert test["loss"] == pytest.approx(
        0.5 * test["tau_id/loss"] + 0.5 * test["jet_calibration/loss"], rel=1e-5
    )
    # the loss is one over the training part's mixture of classes, the metric over all events
    assert test["jet_calibration/mse"] != pytest.approx(test["jet_calibration/loss"], rel=1e-2)
    assert set(test["jet_calibration/resolution"]) == {"pt", "eta", "phi"}
    assert not any(name.startswith("tau_jet_features") for name in test)


def test_a_report_of_the_multi_task(jet_file: Path, tmp_path: Path) -> None:
    """v1 is the weight of the first task that has a loss."""
    for w1 in (0.2, 0.6):
        words = overrides(jet_file, tmp_path, MULTITASK, "method=fixed_chain", f"task_weight={w1}")
        run(compose_config([*words, "data.events=200"]), console=QUIET)
    build_report([tmp_path], tmp_path / "report", QUIET)
    table = pd.read_csv(tmp_path / "report/results.csv")
    assert sorted(table["v1"]) == [0.2, 0.6]
    assert (tmp_path / "report/index.html").stat().st_size > 1_000_000


@pytest.mark.slow
def test_the_cnn_beats_pixel_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A boosted tree on pixel counts and sums has AUC 0.971, accuracy .72 on taus, .98 on jets."""
    monkeypatch.chdir(ROOT)
    words = ["problem=tau_vs_jet", "method=fixed_chain", "trainer=cpu", "logger=none"]
    result = run(compose_config([*words, f"output={tmp_path}"]), console=QUIET)
    test = result["metrics"]["test"]
    assert test["tau_id/auc"] > 0.965
    assert 0.6 < test["tau_id/minor_accuracy"] < test["tau_id/major_accuracy"]
