"""The selected chain again: the same numbers by its command, and once more for use."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from conftest import QUIET, compose_config, epochs
from killable_run import python
from made_events import load, numbered
from made_scan import write_made_run
from same_numbers import tensor_bytes, without_volatile
from sklearn.metrics import roc_auc_score

import msnas.pipeline
from msnas.data.events import Events
from msnas.errors import ConfigError
from msnas.model import load_model
from msnas.plan import make_plan
from msnas.predict import main as predict
from msnas.report.run_views import told
from msnas.report.table import command_again
from msnas.results.result import Result
from msnas.run import run

WORDS = [
    *("problem=toy", "trainer=cpu", "logger=none", "data.source.events=400", *epochs(3)),
    "candidate/toy_regression=[plane,curve]",
    "candidate/toy_classification=[logistic]",
]
SCORE = "toy_classification"


def done(output: Path, *more: str) -> Result:
    plan = make_plan(compose_config([*WORDS, f"output={output}", *more]))
    run(plan.config, console=QUIET)
    return Result.read(plan.directory)


# ------------------------------------------------------------------ by its command


def command(*words: str) -> tuple[Path, list[str]]:
    """The run directory, and the words of the command that is printed."""
    said = python("train.py", *words)
    assert said.returncode == 0, said.stderr
    ((place,), (again,)) = (
        re.findall(rf"{start}: (.*)", said.stdout)
        for start in ("Run directory", "The selected chain again")
    )
    assert again.startswith("python train.py ")
    return Path(place), shlex.split(again)[2:]


def numbers(directory: Path) -> dict[str, Any]:
    result = json.loads((directory / "result.json").read_text())
    kept = ("selected", "metrics", "interventions", "honesty", "parameters", "directions")
    with h5py.File(directory / "outputs.h5") as file:
        outputs = {
            f"{task}/{kind}": file[task][kind][()].tobytes()
            for task in ("toy_regression", SCORE)
            for kind in ("output", "target")
        }
    return {
        "result": without_volatile({name: result[name] for name in kept}),
        "weights": tensor_bytes(directory / "model.ckpt"),
        "outputs": outputs,
    }


def test_a_grid_searchs_chain_trained_alone_is_the_same(tmp_path: Path) -> None:
    """By the printed command, in a folder without anything to take from."""
    first, again = command(*WORDS, "method=grid_search", "seed=3", f"output={tmp_path / 'one'}")
    assert "method=fixed_chain" in again
    elsewhere = [word.replace(str(tmp_path / "one"), str(tmp_path / "other")) for word in again]
    second, _ = command(*elsewhere)
    assert second.parent == tmp_path / "other" / "toy" / "fixed_chain"
    assert not any(
        json.loads((second / "result.json").read_text())["stages"]["posttrain"]["cached"]
    )
    assert numbers(second) == numbers(first)


def test_a_super_networks_chain_is_searched_again(tmp_path: Path) -> None:
    first, again = command(*WORDS, "method=spos", "method.sampling=fair", f"output={tmp_path}")
    before, time = numbers(first), (first / "result.json").stat().st_mtime_ns
    second, third = command(*again)
    assert (second, third) == (first, again)
    assert (first / "result.json").stat().st_mtime_ns > time
    assert numbers(second) == before


ALONE = ["method=fixed_chain", "method.chain=[cnn,lstm]"]


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["seed=1", "method=grid_search", "+method.select_by=loss", "selection=best"], ["seed=1"]),
        (["--config-dir=mine", "force=all"], ["--config-dir=mine"]),
    ],
    ids=["method", "options"],
)
def test_words_of_the_command(words: list[str], kept: list[str], tmp_path: Path) -> None:
    chain = {"selected": {"calibrate": "cnn", "classify": "lstm"}, "valid": {"loss": 1.0}}
    record = {
        "chains": [{**chain, "stage": "search"}, {**chain, "stage": "posttrain"}],
        "stages": {"search": {"seconds": 1.0, "epochs": {"cnn -> lstm": 2}, "cached": []}},
    }
    searched = Result.read(write_made_run(tmp_path, "grid_search", result=record))
    assert command_again(searched, words) == [*kept, *ALONE]
    given = Result.read(write_made_run(tmp_path, "fixed_chain"))
    unforced = [word for word in words if not word.startswith("force")]
    assert command_again(given, words) == [*unforced, "force=true"]
    others = [{**chain, "selected": {"calibrate": "mlp", "classify": "lstm"}}]
    folded = dataclasses.replace(searched, folds=others)  # type: ignore[arg-type]
    assert command_again(folded, words)[-1] == "force=true"


# ------------------------------------------------------------------ once more, for use


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("refit") / "runs"


@pytest.fixture(scope="module")
def plain(output: Path) -> Result:
    return done(output, "method=grid_search")


@pytest.fixture(scope="module")
def refit(output: Path, plain: Result) -> Result:
    assert plain.refit is None
    return done(output, "method=grid_search", "refit=all")


def test_the_runs_own_numbers_are_the_same(plain: Result, refit: Result) -> None:
    own, more = (without_volatile(one.to_json()) for one in (plain, refit))
    assert more["stages"].pop("refit")["epochs"].keys() == {
        "chain", f"toy_regression/{plain.path[0]}", f"{SCORE}/{plain.path[1]}",
    }  # fmt: skip
    assert more.pop("refit")["events"] == 320
    assert more.pop("key") != own.pop("key")
    assert more == own
    model = tensor_bytes(refit.directory / "model.ckpt")
    assert model == tensor_bytes(plain.directory / "model.ckpt")
    assert model != tensor_bytes(refit.directory / "refit.ckpt")
    assert "refit.ckpt" in refit.files


def test_without_it_a_run_is_what_it_was(plain: Result) -> None:
    null = make_plan(compose_config([*WORDS, "method=grid_search", "refit=null"]))
    assert (null.key, "refit" in null.config) == (plain.key, False)


def test_it_is_what_predicts_and_is_not_what_was_judged(
    refit: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(refit.directory / "outputs.h5") as file:
        x, label = file["inputs/x"][()], file[f"{SCORE}/target"][()]
        judged = file[f"{SCORE}/output"][()]
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["x"] = x
    predict([f"run={refit.directory}", f"data={tmp_path / 'in.h5'}", f"out={tmp_path / 'out.h5'}"])
    assert "trained for use, with 320 training and validation events" in capsys.readouterr().out
    with h5py.File(tmp_path / "out.h5") as file:
        used = file[SCORE][()]
        assert file.attrs["refit"] == "320 training and validation events"
    assert refit.refit is not None
    assert roc_auc_score(label, used) == pytest.approx(refit.refit["test"][f"{SCORE}/auc"])
    assert roc_auc_score(label, judged) == pytest.approx(refit.test[f"{SCORE}/auc"])
    assert np.array_equal(used, msnas.load(refit.directory).predict({"x": x})[SCORE])
    again = load_model(refit.directory).predict({"x": x}, conditions={}, batch=500)
    assert np.allclose(again[SCORE], judged, atol=1e-6)
    assert not np.allclose(used, judged, atol=1e-3)


def test_the_page_says_so(refit: Result) -> None:
    assert told(refit).endswith(", once more for use (refit)")


def records(output: Path, stage: str) -> dict[str, dict[str, Any]]:
    return {
        path.parent.name: json.loads(path.read_text())
        for path in output.glob(f"cache/{stage}/*/record.json")
    }


def test_it_takes_as_many_epochs_as_were_kept(tmp_path: Path) -> None:
    """Two epochs of four where the second was the best; none where the start was."""
    settings = ["method=fixed_chain", "recipe.posttrain.epochs=4", "+recipe.posttrain.start=true"]
    found = done(tmp_path, *settings, "recipe.optimizer.lr=0.3")
    before = records(tmp_path, "posttrain")
    (kept,) = (one["best_epoch"] + 1 for one in before.values())
    assert 0 < kept < 4, "these settings are to have a best epoch that is not the last"
    again = done(tmp_path, *settings, "recipe.optimizer.lr=0.3", "refit=all")
    (own,) = (one for name, one in records(tmp_path, "posttrain").items() if name not in before)
    assert len(own["history"]) == kept
    assert own["best_epoch"] == kept - 1
    assert again.stages["refit"]["epochs"]["chain"] == kept
    assert again.valid == found.valid
    worse = done(tmp_path, *settings, "+recipe.posttrain.lr=50", "refit=all")
    assert worse.stages["posttrain"]["loss"] == worse.stages["posttrain"]["start"]
    assert worse.stages["refit"]["epochs"]["chain"] == 0


def spoilt(part: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name: torch.zeros_like(one) if one.is_floating_point() else 1 - one
        for name, one in part.items()
    }


@pytest.mark.parametrize("part", ["valid", "test"])
def test_validation_events_teach_it_and_test_events_do_not(
    part: str, refit: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other events of a part, with the epochs and the chain of the run as it was."""

    def changed(events: Events) -> Events:
        return for_use(dataclasses.replace(events, **{part: spoilt(getattr(events, part))}))

    for_use = Events.for_use
    monkeypatch.setattr(Events, "for_use", changed)
    other = done(tmp_path, "method=grid_search", "refit=all")
    assert other.valid == refit.valid
    weights = [tensor_bytes(one.directory / "refit.ckpt") for one in (other, refit)]
    assert (weights[0] == weights[1]) == (part == "test")


OTHER = {
    "super_network_for_all_v1": ["method=spos", "conditioning=yoto"],
    "task_after_task": ["method=fixed_chain", "method.reoptimise=false"],
    "end_to_end": ["method=end_to_end", "task_weight=null"],
    "no_pretraining": ["method=grid_search", "pretrain.enabled=false"],
}


@pytest.mark.parametrize("words", OTHER.values(), ids=OTHER)
def test_every_method_can(words: list[str], output: Path) -> None:
    yoto = ["conditioning.parameters=[task_weight]"] if "conditioning=yoto" in words else []
    found = done(output, *words, *yoto, "refit=all", *epochs(1))
    assert found.refit is not None
    shapes = [
        {name: len(value) for name, value in tensor_bytes(found.directory / file).items()}
        for file in ("model.ckpt", "refit.ckpt")
    ]
    assert shapes[0] == shapes[1]
    condition = {"task_weight": 0.9} if yoto else {}
    said = msnas.load(found.directory).predict({"x": np.zeros((3, 2))}, **condition)
    assert said[SCORE].shape == (3,)


def test_events_to_train_with_for_use() -> None:
    """Where a class was thinned, validation events keep the weights that make up for it."""
    events = load(numbered(50, 50), thin={"class": 1, "fraction": 0.2})
    union = events.for_use()
    train, valid = len(events.train["label"]), len(events.valid["label"])
    assert torch.equal(
        union.train["number"], torch.cat([events.train["number"], events.valid["number"]])
    )
    assert union.train["weight"][:train].tolist() == [1.0] * train
    assert torch.equal(union.train["weight"][train:], events.valid["weight"])
    assert (len(union.train["number"]), union.valid) == (train + valid, events.valid)
    assert "weight" not in load(numbered(50, 50)).for_use().train


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match=r"refit: expected one of \[None, 'all'\], found 'some'"):
        make_plan(compose_config([*WORDS, "refit=some"]))
    with pytest.raises(ConfigError, match=r"refit: not together with data\.folds"):
        make_plan(compose_config([*WORDS, "refit=all", "data.folds=3"]))
