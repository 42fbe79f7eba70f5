"""Whole runs with each weighting: what they write, and that their state survives."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUIET, ROOT, compose_config
from golden_numbers import differences, numbers_of_run
from killable_run import Death, python
from test_golden import interrupted_in_the_second_epoch
from test_resume import Folder, assert_killed_then_equal, tensor_bytes, without_volatile
from weightings import INSTALLED, NAMES, THREE, UNWEIGHTED

import msnas.weighting.weighting
from msnas.errors import ConfigError
from msnas.run import run
from msnas.run_directory import RunDirectory
from msnas.weighting.conflict import Conflict
from msnas.weighting.scalarized import Scalarized

SUM_IS_1 = (
    *("fixed", "random", "mgda", "imtl_g", "mean", "constant", "excess_mtl", "random_gradients"),
    *("mean_loss", "constant_loss", "famo"),
)
TOY = ("toy_regression", "toy_classification")
MIXTURE = ("method=darts", "method.relaxation=softmax")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of runs: what is pre-trained once serves every test."""
    return tmp_path_factory.mktemp("runs")


def overrides(output: Path, *more: str, problem: str = "toy") -> list[str]:
    common = ["debug=smoke", "logger=none", "trainer=cpu", f"output={output}"]
    return [f"problem={problem}", *common, *more]


def do_run(output: Path, *more: str, problem: str = "toy") -> tuple[RunDirectory, dict[str, Any]]:
    config = compose_config(overrides(output, *more, problem=problem))
    result = run(config, console=QUIET)
    folder = output / result["problem"] / result["method"] / result["key"]
    return RunDirectory(folder), result


def joined(directory: RunDirectory) -> list[dict[str, Any]]:
    """The epochs in which several losses were descended."""
    return [line for line in directory.history() if line["stage"] != "pretrain"]


@pytest.mark.parametrize("name", NAMES)
def test_every_weighting_trains(name: str, output: Path) -> None:
    directory, result = do_run(output, f"weighting={name}")
    assert result["status"] == "finished"
    assert result["task_weights"] == dict.fromkeys(TOY, 0.5)
    lines = joined(directory)
    assert {line["stage"] for line in lines} == {"search", "posttrain"}
    for line in lines:
        assert line["gradient_norm"].keys() == set(TOY)
        assert line["gradient_norm"]["toy_regression"] > 0
        assert all(abs(value) <= 1 for value in line["gradient_cosine"].values())
        assert ("task_weight" in line) == (name not in UNWEIGHTED)
        assert all(math.isfinite(value) for value in line.get("task_weight", {}).values())
        if name in SUM_IS_1:
            assert sum(line["task_weight"].values()) == pytest.approx(1, abs=1e-4)
        if name == "gradnorm":
            assert sum(line["task_weight"].values()) == pytest.approx(2, abs=1e-4)
    # what judges is the same for all
    post = [line for line in lines if line["stage"] == "posttrain"]
    for line in post:
        own = [line[f"valid/{task}"] for task in TOY]
        assert line["valid/loss"] == pytest.approx(sum(own) / 2, rel=1e-5)


ALIKE = [{"constant", "mean"}, {"constant_loss", "fixed", "mean_loss"}, {"dwa", "sum_loss"}]
"""Equal weights, and dwa in the two epochs that it begins with."""


def test_weightings_lead_to_different_chains_of_weights(output: Path) -> None:
    models: dict[tuple[bytes, ...], set[str]] = {}
    for name in NAMES:
        directory, result = do_run(output, f"weighting={name}")  # from the run directory
        assert result["status"] == "finished"
        models.setdefault(tuple(tensor_bytes(directory.model).values()), set()).add(name)
    assert [one for one in models.values() if len(one) > 1] == ALIKE


def test_the_command_of_the_docs(tmp_path: Path) -> None:
    (block,) = re.findall(r"```bash\npython (.*?)\n```", (ROOT / "docs/weighting.md").read_text())
    done = python(*block.split(), *overrides(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    (result,) = tmp_path.glob("toy/spos/*/result.json")
    assert json.loads(result.read_text())["status"] == "finished"


@pytest.mark.parametrize(
    "more",
    [
        ("weighting=mgda", "method=asng"),
        ("weighting=uncertainty", "method=asng"),
        ("weighting=upgrad", "method.sampling=fair"),
        ("weighting=mgda", "trainer.precision=bf16-mixed"),
        ("weighting=uncertainty", *MIXTURE),
        ("weighting=random", *MIXTURE),
        ("weighting=stch", *MIXTURE),
        ("weighting=mgda", "method=darts"),
        ("weighting=uncertainty", "method=darts"),
        ("weighting=excess_mtl", "method.sampling=fair"),
    ],
)
def test_other_methods(more: tuple[str, ...], output: Path) -> None:
    directory, _ = do_run(output, *more)
    search = [line for line in directory.history() if line["stage"] == "search"]
    weights = [tuple(line["task_weight"].values()) for line in search]
    assert len(set(weights)) == len(weights) == 2
    assert weights[0] != (0.5, 0.5)


@pytest.mark.parametrize("name", ["upgrad", "famo", *THREE])
def test_a_chain_of_three_tasks(name: str, output: Path) -> None:
    directory, _ = do_run(output, f"weighting={name}", problem="toy3")
    for line in joined(directory):
        assert len(line["gradient_norm"]) == 3
        assert len(line.get("task_weight", "abc")) == 3
        assert len(line["gradient_cosine"]) in (1, 3)


@pytest.mark.parametrize(
    ("more", "calls"),
    [(("method.sampling=fair",), 3), (MIXTURE, 1)],
    ids=["fair", "darts"],
)
def test_famo_looks_at_what_a_step_has_made_of_its_own_chains(
    more: tuple[str, ...], calls: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the step is too small to change a weight, no loss differs: not in chain nor draws."""
    seen = []

    def look_back(self: Scalarized, again: Callable[[], object]) -> None:
        self._after = []
        again()
        seen.append((self._before, self._after))
        self._before, self._after = [], None

    monkeypatch.setattr(Scalarized, "look_back", look_back)
    for rate in ("1e-30", "1e-2"):
        seen.clear()
        do_run(tmp_path, "weighting=famo", f"recipe.optimizer.lr={rate}", *more)
        assert seen
        assert {len(before) for before, _ in seen} == {1, calls}  # one in post-training
        same = [torch.equal(*map(torch.stack, one)) for one in seen]
        assert all(same) if rate == "1e-30" else not any(same)


def test_what_is_measured_changes_no_weight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = []
    for folder in ("with", "without"):
        directory, result = do_run(tmp_path / folder, "task_weight=0.3", "method=spos")
        models.append((tensor_bytes(directory.model), result["metrics"], result["chains"]))
        assert (joined(directory)[0]["gradient_norm"]["toy_regression"] > 0) == (folder == "with")
        monkeypatch.setattr(
            msnas.weighting.weighting,
            "measure_conflict",
            lambda losses, shared: Conflict(norms=[0.0] * len(losses), cosines={}),
        )
    assert models[0] == models[1]


@pytest.mark.parametrize("name", ["gradnorm", "uncertainty"])
def test_a_stage_does_not_depend_on_what_came_from_the_cache(name: str, tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        directory, result = do_run(tmp_path, f"weighting={name}")
        found.append(
            (
                tensor_bytes(directory.model),
                without_volatile(result),
                without_volatile(joined(directory)[-1]),
            )
        )
        shutil.rmtree(directory.path)
        shutil.rmtree(tmp_path / "cache" / "posttrain")
    # the second time the search came from the cache
    assert found[0] == found[1]


CASES = [
    pytest.param("gradnorm", Death("in the middle of an epoch", "search", 5)),
    pytest.param(
        "uncertainty",
        Death("after the rename of a checkpoint", "search", 2),
        marks=pytest.mark.slow,
    ),
    pytest.param(
        "random", Death("after the rename of a checkpoint", "posttrain", 1), marks=pytest.mark.slow
    ),
    pytest.param(
        "mgda", Death("after the rename of a checkpoint", "search", 1), marks=pytest.mark.slow
    ),
]


@pytest.mark.parametrize(("name", "death"), CASES)
def test_killed_and_resumed(event_file: Path, tmp_path: Path, name: str, death: Death) -> None:
    change = (f"weighting={name}",)
    reference = Folder(event_file, tmp_path / "reference", change)
    assert reference.run() == 0, reference.said()
    assert reference.numbers()["history"][-1]["task_weight"]
    assert_killed_then_equal(Folder(event_file, tmp_path / "killed", change), reference, death)


def test_the_state_of_gradnorm_is_kept(tmp_path: Path) -> None:
    """The state of the weighting is part of a search's weights."""
    directory, _ = do_run(tmp_path, "weighting=gradnorm")
    (path,) = (tmp_path / "cache" / "search").glob("*/weights.pt")
    weights = torch.load(path, weights_only=True)
    last = [line for line in directory.history() if line["stage"] == "search"][-1]["task_weight"]
    assert weights["weighting.initial_losses"].isfinite().all()
    moved = weights["weighting.task_weights"]
    assert sum(last.values()) == pytest.approx(float(moved.sum()), abs=1e-5)
    assert moved[0] != moved[1]


KEEPING = ("famo", "dwa", "excess_mtl")
"""What each keeps is of a kind of its own; of all of them: test_weighting_library.py."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in KEEPING else pytest.mark.slow)
        for name in INSTALLED
        if name != "fixed"
    ],
)
def test_an_interrupted_run_goes_on_to_the_same_numbers(
    name: str, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = "toy3" if name in THREE else "toy"
    change = (f"weighting={name}", "recipe.search.epochs=4")
    uninterrupted, _ = do_run(output, *change, problem=problem)
    with interrupted_in_the_second_epoch(tmp_path, monkeypatch):
        do_run(tmp_path, *change, problem=problem)
    resumed, result = do_run(tmp_path, *change, problem=problem)
    assert result["stages"]["pretrain"]["cached"]
    assert not differences(
        numbers_of_run(resumed.path), numbers_of_run(uninterrupted.path), exact=True
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("weighting=mgda", "task_weight=0.9"), r"^task_weight, task_weights: .*leave them out"),
        (("weighting=mgda", *MIXTURE), r"^weighting: JacobianDescent .*method=darts"),
        (("weighting=random", *MIXTURE, "method.order=2"), r"^method\.order: 2 needs"),
        (("weighting=famo", "method=darts", "method.freeze=0"), r"^method\.freeze: not together"),
        (("weighting=gradnorm", "method=end_to_end"), r"^weighting: GradNorm .*end_to_end"),
        (
            ("weighting=mgda", "trainer.precision=16-mixed"),
            r"^trainer\.precision: (16-mixed needs a graphics card|Jacobian)",
        ),
        (("weighting=gradnorm", "weighting.alpha=-1"), r"^weighting\.alpha: .*found -1"),
        (("+weighting.scalarizer.shape=2", "weighting=uncertainty"), r"given by the run itself"),
        (("+weighting.scalarizer.x=1", "weighting=famo"), r"^weighting\.scalarizer\.x: unknown"),
        (("weighting=krum",), r"^weighting\.aggregator: Krum: .*at least 3 rows"),
    ],
)
def test_settings_that_cannot_be(more: tuple[str, ...], said: str, output: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        do_run(output, *more)
