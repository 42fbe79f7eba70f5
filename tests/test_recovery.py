"""Every search method finds the toy's best chain; chance and pre-training losses do not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import QUIET, compose_config
from rich.console import Console
from rich.table import Table

from msnas.plan import make_plan
from msnas.run import run
from msnas.run_directory import RunDirectory

BEST = ("plane", "logistic")
SEEDS = 20
ENOUGH = 18
MOST_BY_CHANCE = 8
"""Of 20; a uniformly random chain of 9 is the best one in 8 or more of 20 with p = 0.0009."""

FINDING = {
    "grid_search": ["method=grid_search"],
    "spos, uniform": ["method=spos"],
    "spos, fair": ["method=spos", "method.sampling=fair"],
    "asng": ["method=asng"],
    "darts": ["method=darts"],
    "darts, argmax": ["method=darts", "method.selection=argmax"],
    "darts, perturbation": [
        *("method=darts", "method.relaxation=softmax", "method.selection=perturbation")
    ],
}


def toy_run(
    output: Path, seed: int, *overrides: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Result and history of a run on the toy's one data set."""
    words = ["problem=toy", "trainer=cpu", "logger=none", f"output={output}", f"seed={seed}"]
    config = compose_config([*words, *overrides])
    result = run(config, console=QUIET)
    return result, RunDirectory(make_plan(config).directory).history()


def selected(result: dict[str, Any]) -> tuple[str, ...]:
    return tuple(result["selected"].values())


def most_probable(result: dict[str, Any]) -> tuple[str, ...]:
    return tuple(max(of, key=of.__getitem__) for of in result["probabilities"].values())


def best_pretrained(history: list[dict[str, Any]]) -> tuple[str, ...]:
    """The candidate of the lowest pre-training loss of each task."""
    losses: dict[str, dict[str, float]] = {}
    for line in history:
        if line["stage"] == "pretrain":
            task, name = line["model"].split("/")
            own = losses.setdefault(task, {})
            own[name] = min(own.get(name, float("inf")), line["valid/loss"])
    return tuple(min(of, key=of.__getitem__) for of in losses.values())


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder, so that all methods share the pre-trained candidates."""
    return tmp_path_factory.mktemp("recovery")


@pytest.mark.parametrize("method", FINDING)
def test_one_seed_of_each_method(output: Path, method: str) -> None:
    """With shorter trainings than the recipe's; pre-training points elsewhere."""
    result, history = toy_run(
        output,
        0,
        "recipe.pretrain.epochs=8",
        "recipe.search.epochs=18",
        "recipe.posttrain.epochs=5",
        *FINDING[method],
    )
    assert selected(result) == BEST
    assert best_pretrained(history) == ("curve", "trigger")


@pytest.mark.slow
def test_twenty_seeds_of_each_method(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    choices: dict[str, list[tuple[str, ...]]] = {}
    for seed in range(SEEDS):
        for method, overrides in FINDING.items():
            result, history = toy_run(output, seed, *overrides)
            choices.setdefault(method, []).append(selected(result))
            if method == "grid_search":
                choices.setdefault("least pre-training loss", []).append(best_pretrained(history))
            if method == "darts, perturbation":
                choices.setdefault("darts, mixture, argmax", []).append(most_probable(result))
        result, _ = toy_run(output, seed, "method=random_choice")
        choices.setdefault("random_choice", []).append(selected(result))

    found = {method: made.count(BEST) for method, made in choices.items()}
    table = Table("way to choose", f"found in {SEEDS} seeds", "other choices", title="Toy")
    for method, made in choices.items():
        others = Counter(" -> ".join(path) for path in made if path != BEST)
        table.add_row(method, str(found[method]), ", ".join(f"{n} {p}" for p, n in others.items()))
    with capsys.disabled():
        Console(width=150).print(table)
    for method in FINDING:
        assert found[method] >= ENOUGH, found
    for method in ("random_choice", "least pre-training loss"):
        assert found[method] <= MOST_BY_CHANCE, found
