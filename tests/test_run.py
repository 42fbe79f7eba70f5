"""`python train.py` from the outside: what it writes, says, repeats, shares and refuses."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, STAGES, finished_below, small_run, telling_imports
from killable_run import python
from same_numbers import tensor_bytes, without_volatile
from sklearn.metrics import roc_auc_score

from msnas.chain.from_config import build_chain
from msnas.data.event_file import EventFile
from msnas.data.split import split_indices
from msnas.plan import make_plan

CANDIDATES = {"tau_calibration": ["mlp", "sf"], "higgs_id": ["mlp", "mass"]}


def train(*overrides: str) -> subprocess.CompletedProcess[str]:
    """`python train.py` of a user without account, network or settings of a tracker."""
    unset = dict.fromkeys(name for name in os.environ if name.startswith("WANDB"))
    return python("train.py", *overrides, environment=unset)


def checked(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """A run that went well, without a warning."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done


def files(directory: Path) -> dict[str, int]:
    """Every file below with the time it was last written."""
    return {
        path.relative_to(directory).as_posix(): path.stat().st_mtime_ns
        for path in directory.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Numbers by name, those of the variables of a metric too."""
    found: dict[str, float] = {}
    for name, value in values.items():
        nested = isinstance(value, dict)
        found |= flat(value, f"{prefix}{name}/") if nested else {prefix + name: value}
    return found


@dataclass
class Run:
    overrides: list[str]
    done: subprocess.CompletedProcess[str]
    output: Path

    @property
    def directory(self) -> Path:
        (found,) = re.findall(r"Run directory: (\S+)", self.done.stdout)
        assert Path(found).parent == self.output / "htautau" / "spos"
        return Path(found)

    @property
    def result(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.directory / "result.json").read_text())
        return loaded

    @property
    def config(self) -> dict[str, Any]:
        loaded: dict[str, Any] = yaml.safe_load((self.directory / "config.yaml").read_text())
        return loaded

    @property
    def history(self) -> list[dict[str, Any]]:
        text = (self.directory / "history.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    @property
    def model_file(self) -> Path:
        return self.directory / "model.ckpt"

    @property
    def model(self) -> dict[str, Any]:
        loaded: dict[str, Any] = torch.load(self.model_file, weights_only=True)
        return loaded


@pytest.fixture(scope="module")
def run(event_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    output = tmp_path_factory.mktemp("run") / "runs"
    settings = [one for one in small_run(event_file, output) if "validity" not in one]
    more = ["logger=csv", "recipe.search.epochs=3", "tasks.tau_calibration.validity.epochs=2"]
    overrides = [*settings, *more]
    return Run(overrides, checked(train(*overrides)), output)


# ------------------------------------------------------------------ what it writes


def test_the_result_holds_what_its_schema_promises(run: Run, event_file: Path) -> None:
    result = run.result
    assert result.keys() >= {
        "schema", "problem", "method", "key", "seed", "task_weights", "selected", "metrics",
        "directions", "chains", "parameters", "stages", "data", "versions", "status",
    }  # fmt: skip
    assert result["schema"] == 1
    assert (result["problem"], result["method"], result["seed"]) == ("htautau", "spos", 0)
    assert result["key"] == run.directory.name
    assert result["task_weights"] == {"tau_calibration": 0.5, "higgs_id": 0.5}
    assert result["status"] == "finished"
    assert result["selected"].keys() == CANDIDATES.keys()
    assert all(result["selected"][task] in names for task, names in CANDIDATES.items())
    assert result["data"]["file"] == str(event_file)
    assert result["data"]["sha256"] == EventFile(file=str(event_file)).sha256
    assert result["data"]["events"] == 300
    assert result["versions"]["torch"] == version("torch")
    assert result["directions"]["tau_calibration/mse"] is False
    assert result["directions"]["higgs_id/auc"] is True
    # what was not computed is absent: single-path search has no probabilities
    assert "probabilities" not in result


def test_the_numbers_are_finite_and_in_range(run: Run) -> None:
    for part in ("valid", "test"):
        numbers = run.result["metrics"][part]
        assert numbers.keys() >= {"tau_calibration/mse", "higgs_id/auc", "loss"}
        assert all(math.isfinite(value) for value in flat(numbers).values())
        assert 0 < numbers["tau_calibration/mse"] < 10
        assert 0.4 < numbers["higgs_id/auc"] <= 1
        assert numbers["loss"] == pytest.approx(
            0.5 * numbers["tau_calibration/loss"] + 0.5 * numbers["higgs_id/loss"], rel=1e-5
        )
    valid, test = run.result["metrics"]["valid"], run.result["metrics"]["test"]
    assert valid["loss"] != test["loss"]
    validity = {name: value for name, value in flat(test).items() if "validity" in name}
    assert "validity/joint" in validity
    assert "validity/per_variable/pt_1" in validity
    shares = [value for name, value in validity.items() if "joint" in name or "variable/" in name]
    assert len(shares) >= 7
    assert all(0 <= value <= 1 for value in shares)
    assert not [name for name in flat(valid) if "validity" in name]


def test_every_chain_is_listed_and_the_best_on_validation_data_selected(run: Run) -> None:
    chains = run.result["chains"]
    searched = [one for one in chains if one["stage"] == "search"]
    found = sorted(tuple(one["selected"].values()) for one in searched)
    assert found == sorted((a, b) for a in ("mlp", "sf") for b in ("mlp", "mass"))
    best = min(searched, key=lambda one: one["valid"]["loss"])
    assert best["selected"] == run.result["selected"]
    (after,) = (one for one in chains if one["stage"] == "posttrain")
    assert after["selected"] == run.result["selected"]
    assert after["valid"] == run.result["metrics"]["valid"]
    assert after["valid"]["loss"] <= best["valid"]["loss"] + 1e-3


def test_the_number_of_parameters_is_that_of_the_selected_chain(run: Run) -> None:
    count = {"mlp": {"tau_calibration": 14359, "higgs_id": 2369}, "sf": 6, "mass": 4353}
    expected = 0
    for task, name in run.result["selected"].items():
        own = count[name]
        expected += own if isinstance(own, int) else own[task]
    assert run.result["parameters"] == expected
    assert sum(value.numel() for value in run.model["weights"].values()) == expected


def test_the_history_is_complete(run: Run) -> None:
    stages = run.result["stages"]
    assert list(stages)[:3] == list(STAGES)
    labels = [f"{task}/{name}" for task, names in CANDIDATES.items() for name in names]
    assert stages["pretrain"]["epochs"] == dict.fromkeys(labels, 2)
    assert stages["search"]["epochs"] == {"super-network": 3}
    assert stages["posttrain"]["epochs"] == {"chain": 2}
    assert all(stages[stage]["cached"] == [] for stage in STAGES)
    assert all(stages[stage]["seconds"] > 0 for stage in STAGES)
    lines = Counter((line["stage"], line["model"]) for line in run.history)
    assert lines == {
        (stage, model): count
        for stage in STAGES
        for model, count in stages[stage]["epochs"].items()
    }
    for (stage, model), count in lines.items():
        own = [line for line in run.history if (line["stage"], line["model"]) == (stage, model)]
        assert [line["epoch"] for line in own] == list(range(count))
        for line in own:
            assert math.isfinite(line["train/loss"])
            assert math.isfinite(line["valid/loss"])
        assert own[-1]["train/loss"] < own[0]["train/loss"] or stage != "pretrain"


def test_the_best_epoch_was_restored(run: Run) -> None:
    """The post-trained chain's validation loss is the lowest of its epochs, not the last."""
    losses = [line["valid/loss"] for line in run.history if line["stage"] == "posttrain"]
    assert run.result["metrics"]["valid"]["loss"] == pytest.approx(min(losses), rel=1e-5)


def test_the_configuration_is_resolved_and_repeats_the_run(run: Run) -> None:
    text = (run.directory / "config.yaml").read_text()
    assert "${" not in text
    assert run.config["data"]["events"] == 300
    assert run.config["recipe"]["search"]["epochs"] == 3
    assert list(run.config["tasks"]["higgs_id"]["candidates"]) == CANDIDATES["higgs_id"]
    assert make_plan(run.config).key == run.directory.name


def test_the_log_and_the_table_of_the_history(run: Run) -> None:
    assert (
        "selected " + "-".join(run.result["selected"].values())
        in (run.directory / "log").read_text()
    )
    rows = (run.directory / "history.csv").read_text().splitlines()
    assert len(rows) == 1 + len(run.history)
    assert rows[0].startswith("stage,model,epoch,train/loss,valid/loss")
    assert not list(run.output.rglob("*.new"))
    assert not list(run.output.rglob("*.partial"))


def test_the_output_shows_what_the_result_holds(run: Run) -> None:
    said = run.done.stdout
    assert said.rstrip().endswith(f"Run directory: {run.directory}")
    assert "Selected: " + "-".join(run.result["selected"].values()) in said
    for part in ("valid", "test"):
        for name in ("tau_calibration/mse", "higgs_id/auc"):
            assert f"{run.result['metrics'][part][name]:.4f}" in said
    assert run.done.stderr == ""


def test_the_saved_model_gives_the_reported_numbers(run: Run, event_file: Path) -> None:
    """From model.ckpt and config.yaml: own encoding, own loss, scikit-learn's AUC."""
    config, model = run.config, run.model
    assert model["selected"] == list(run.result["selected"].values())
    with h5py.File(event_file) as file:
        raw = {name: file[name][()] for name in ("jet", "image", "tau", "label")}
    parts = split_indices(
        raw["label"],
        events=300,
        generator=np.random.default_rng(config["data"]["split_seed"]),
        fractions=[0.6, 0.2, 0.2],
        where="",
    )
    train = parts["train"]
    mass = raw["jet"][train][..., 3].astype(float).std()
    filled = [raw["image"][train][:, :, channel].astype(float) for channel in range(3)]
    pixels = [np.log1p(one[one > 0]).std() for one in filled]
    assert model["scales"]["jet"]["mass"] == pytest.approx([mass])
    assert model["scales"]["image"]["channels"] == pytest.approx(pixels)

    tasks = {
        task: {**config["tasks"][task], "candidates": {
            name: config["tasks"][task]["candidates"][name]}}
        for task, name in run.result["selected"].items()
    }  # fmt: skip
    chain = build_chain(tasks, config["problem"]["chain"], seed=99)
    chain.load_state_dict(model["weights"])
    for part in ("valid", "test"):
        chosen = {name: value[parts[part]] for name, value in raw.items()}
        jet = chosen["jet"].astype(float)
        jet[..., 0] = np.log(0.1 + jet[..., 0])
        jet[..., 3] /= mass
        image = np.log1p(chosen["image"]) / np.array(pixels)[:, None, None]
        batch = {
            "jet": torch.tensor(jet, dtype=torch.float32),
            "image": torch.tensor(image, dtype=torch.float32),
        }
        with torch.no_grad():
            tau, logit = chain.run(batch, tuple(model["selected"]))
        expected = run.result["metrics"][part]
        auc = roc_auc_score(chosen["label"], logit.numpy())
        assert auc == pytest.approx(expected["higgs_id/auc"], abs=1e-6)
        log_pt, eta, phi = np.moveaxis(tau.double().numpy(), -1, 0)
        true_pt, true_eta, true_phi = np.moveaxis(chosen["tau"].astype(float), -1, 0)
        pt = np.exp(log_pt) - 0.1
        error = (
            (pt * np.cos(phi) - true_pt * np.cos(true_phi)) ** 2
            + (pt * np.sin(phi) - true_pt * np.sin(true_phi)) ** 2
            + (pt * np.sinh(eta) - true_pt * np.sinh(true_eta)) ** 2
        )
        mse = error.sum(1).mean() / 1e4
        assert mse == pytest.approx(expected["tau_calibration/mse"], rel=1e-3)


# ------------------------------------------------------------------ again


def test_a_finished_run_is_shown_not_repeated(run: Run) -> None:
    before = files(run.output)
    again = checked(train(*run.overrides))
    assert "This run is finished (force=true repeats it)" in again.stdout
    assert files(run.output) == before
    table = run.done.stdout[run.done.stdout.index("Chains on validation data") :]
    assert again.stdout.endswith(table)
    # another tracker is no other run
    assert "This run is finished" in train(*run.overrides, "logger=none").stdout
    assert files(run.output) == before


def test_a_finished_run_is_recognised_without_pytorch(run: Run, tmp_path: Path) -> None:
    script = telling_imports(tmp_path)
    for overrides, said in ((run.overrides, "This run is finished"), (["--help"], "Groups")):
        words = [sys.executable, str(script), *overrides]
        done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=True)
        assert said in done.stdout
        assert "imported False" in done.stdout


def test_force_repeats_a_run_with_equal_numbers(event_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "runs"
    overrides = small_run(event_file, output)
    first = Run(overrides, checked(train(*overrides)), output)
    result, history, model = first.result, first.history, tensor_bytes(first.model_file)
    before = files(output)
    second = Run(overrides, checked(train(*overrides, "force=true")), output)
    assert second.directory == first.directory
    stages = second.result["stages"]
    assert stages["pretrain"]["cached"] == list(result["stages"]["pretrain"]["epochs"])
    assert stages["pretrain"]["seconds"] == 0
    assert stages["search"]["cached"] == stages["posttrain"]["cached"] == []
    assert without_volatile(second.result) == without_volatile(result)
    assert without_volatile(second.history) == without_volatile(history)
    assert tensor_bytes(second.model_file) == model
    after = files(output)
    rewritten = {name.split("/")[1] for name in before if before[name] != after[name]}
    assert rewritten == {"search", "posttrain", "spos"}


@pytest.mark.parametrize("value", ["0", "1"])
def test_another_task_weight_trains_no_candidate_again(run: Run, value: str) -> None:
    """Also the ends of the range: a task without weight still runs, and is still measured."""
    cache = run.output / "cache" / "pretrain"
    before = files(cache)
    overrides = [*run.overrides, f"task_weight={value}", "logger=none"]
    other = Run(overrides, checked(train(*overrides)), run.output)
    result = other.result
    assert other.directory != run.directory
    assert files(cache) == before
    stages = result["stages"]
    assert stages["pretrain"]["cached"] == list(stages["pretrain"]["epochs"])
    assert len(stages["pretrain"]["cached"]) == 4
    assert stages["search"]["cached"] == []
    weight = float(value)
    assert result["task_weights"] == {"tau_calibration": weight, "higgs_id": 1 - weight}
    numbers = result["metrics"]["valid"]
    only = "tau_calibration/loss" if weight else "higgs_id/loss"
    assert numbers["loss"] == pytest.approx(numbers[only])
    assert numbers["tau_calibration/mse"] > 0
    assert 0 <= numbers["higgs_id/auc"] <= 1
    if weight:
        # the second task has no gradient: it keeps its pre-trained weights to the end
        name = result["selected"]["higgs_id"]
        end = other.model["weights"]
        stored = [torch.load(path, weights_only=True) for path in cache.glob("*/weights.pt")]
        prefix = f"candidates.higgs_id.{name}."
        own = {key.removeprefix(prefix): one for key, one in end.items() if key.startswith(prefix)}
        assert any(
            own.keys() == one.keys() and all(torch.equal(own[key], one[key]) for key in own)
            for one in stored
        )


def test_without_pretraining(event_file: Path, tmp_path: Path) -> None:
    overrides = [*small_run(event_file, tmp_path / "runs"), "pretrain.enabled=false"]
    run = Run(overrides, checked(train(*overrides)), tmp_path / "runs")
    assert list(run.result["stages"]) == ["search", "posttrain"]
    assert {line["stage"] for line in run.history} == {"search", "posttrain"}
    assert not (tmp_path / "runs/cache/pretrain").exists()


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        # composing, planning, reading events, building a method, training
        (["sed=1"], "error: sed: unknown; did you mean seed? known: "),
        (["problem=higgs"], "error: problem: 'higgs' is no option; "),
        (["task_weight=1.2"], "error: task_weight: expected a number from 0 to 1, found 1.2"),
        (["data.file=nowhere.h5"], "error: data.file: nowhere.h5 not found"),
        (["data.events=100000"], "data.events=100000 needs 50000 events of each class, found"),
        (["candidate/higgs_id=[mlp,zeros]"], "error: candidate/higgs_id: 'zeros' is a dummy"),
        (["method.sampling=unfair"], "error: method.sampling: expected uniform or fair, found"),
        (["recipe.optimizer._target_=os.system"], "error: recipe.optimizer._target_: 'os.system'"),
        (["recipe.optimizer.lr=1e30"], "error: validation loss is "),
    ],
)
def test_a_mistake_ends_with_one_clear_line(
    event_file: Path, tmp_path: Path, overrides: list[str], said: str
) -> None:
    done = train(*small_run(event_file, tmp_path / "runs"), *overrides)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not finished_below(tmp_path)
    if said.startswith("error: "):
        (line,) = [one for one in done.stderr.splitlines() if one.strip()]
        assert line.startswith("error: ")


def test_help_shows_groups_values_and_examples() -> None:
    done = train("--help")
    assert done.returncode == 0
    for said in (
        "candidate/tau_calibration: cnn, ",
        "candidate/higgs_id: invariants, lstm, ",
        "problem: ",
        "method: ",
        "logger: csv, none, tensorboard, wandb",
        "python train.py method=spos task_weight=0.9",
        "task_weight=0.9 ",
        "force=false",
    ):
        assert said in done.stdout


# ------------------------------------------------------------------ trackers


def test_weights_and_biases_offline(event_file: Path, tmp_path: Path) -> None:
    """No account, no network: a run on disk, and a message that says how to send it."""
    output = tmp_path / "runs"
    overrides = [*small_run(event_file, output), "logger=wandb"]
    run = Run(overrides, checked(train(*overrides)), output)
    assert run.config["logger"]["mode"] == "offline"
    said = run.done.stdout + run.done.stderr
    (folder,) = run.directory.glob("wandb/offline-run-*")
    (written,) = folder.glob("run-*.wandb")
    assert written.stat().st_size > 1000
    (named,) = re.findall(r"upload it with: wandb sync (\S+)", said)
    assert (ROOT / named).resolve() == folder.resolve()
    assert not re.search(r"warn|error:|login", said, re.IGNORECASE), said
    content = written.read_bytes()
    for text in (b"search/super-network/valid/loss", b"test/higgs_id/auc", b"split_seed"):
        assert text in content
    assert run.result["status"] == "finished"
