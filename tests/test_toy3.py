"""The three-task toy follows its formulas, its best chain is the best, and a real run finds it."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CONF, QUIET, compose_config
from omegaconf import OmegaConf
from test_toy import CLASSIFICATION, REGRESSION, entropy, fit_logistic, sigmoid

from msnas.errors import ConfigError
from msnas.plan import make_plan
from msnas.problems.toy import HALF_WIDTH
from msnas.problems.toy3 import Toy3
from msnas.run import run
from msnas.run_directory import RunDirectory

TASKS = ["toy3_z", "toy3_w", "toy3_label"]
FIELDS = ("x", "z", "w", "label")
EVENTS = 200_000


def linear_residual(target: np.ndarray, *features: np.ndarray) -> float:
    """Least squared error, summed over components, of linear functions of the features."""
    design = np.column_stack([*features, np.ones(len(target))])
    residual = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    return float((residual**2).sum(1).mean())


@pytest.fixture(scope="module")
def toy() -> Toy3:
    return Toy3(events=EVENTS, seed=0)


@pytest.fixture(scope="module")
def events(toy: Toy3) -> dict[str, np.ndarray]:
    return {name: values.astype(np.float64) for name, values in toy.load(FIELDS).items()}


def floor_z(toy: Toy3) -> float:
    return toy.noise**2 + (toy.side * toy.blur_z) ** 2


def floor_w(toy: Toy3) -> float:
    return toy.noise**2 + (toy.side * toy.blur_w) ** 2 + toy.echo**2 / 2


# ------------------------------------------------------------------ construction


def test_labels_are_balanced_and_the_wave_has_its_size(
    toy: Toy3, events: dict[str, np.ndarray]
) -> None:
    assert events["label"].mean() == pytest.approx(0.5, abs=0.005)
    # also of z1, which is noisy: the wave's period is the width of u's distribution
    for argument in (events["x"][:, 0], events["z"][:, 0]):
        wave = toy.wave(argument)
        assert wave.mean() == pytest.approx(0, abs=0.005)
        assert wave.std() == pytest.approx(toy.bend, abs=0.005)
        assert np.corrcoef(argument, wave)[0, 1] == pytest.approx(0, abs=0.01)
    np.testing.assert_allclose(events["z"][:, 2], toy.wave(events["x"][:, 0]), atol=1e-6)


def test_losses_of_the_first_task(toy: Toy3, events: dict[str, np.ndarray]) -> None:
    """The closed-form losses hold; least squares reaches them in the linear candidates."""
    (u, s), z = events["x"].T, events["z"]
    seen = np.column_stack([u, np.zeros_like(u), toy.wave(u)])
    curve = float(((z - seen) ** 2).sum(1).mean())
    bend, side = toy.bend**2, toy.side**2
    assert curve == pytest.approx(floor_z(toy) + side, abs=0.003)
    assert linear_residual(z, u, s) == pytest.approx(floor_z(toy) + bend, abs=0.003)
    line = floor_z(toy) + bend + (1 + side) / 2
    assert linear_residual(z, u + s) == pytest.approx(line, abs=0.01)


def test_losses_of_the_second_task_on_the_truth(toy: Toy3, events: dict[str, np.ndarray]) -> None:
    z, w = events["z"], events["w"]
    seen = np.column_stack([z[:, 0] + toy.wave(z[:, 0]), 0 * z[:, 1], 0 * z[:, 1]])
    curve = float(((w - seen) ** 2).sum(1).mean())
    bend, side = toy.bend**2, toy.side**2 * (1 + toy.blur_z**2)
    assert curve == pytest.approx(floor_w(toy) + side, abs=0.003)
    assert linear_residual(w, z[:, 0], z[:, 1]) == pytest.approx(floor_w(toy) + bend, abs=0.003)
    # of two independent parts of variances A and B the sum leaves A B / (A + B) of each unknown
    first, second = 1 + toy.noise**2, side
    line = floor_w(toy) + bend + 2 * first * second / (first + second)
    assert linear_residual(w, z[:, 0] + z[:, 1]) == pytest.approx(line, abs=0.005)
    # the wave in z is of no use to the second task beyond what z1 tells
    more = linear_residual(w, z[:, 0], z[:, 1], toy.wave(z[:, 0]), z[:, 2])
    assert more == pytest.approx(linear_residual(w, z[:, 0], z[:, 1], toy.wave(z[:, 0])), abs=2e-3)


def test_the_third_task_prefers_the_trigger_on_the_truth(
    toy: Toy3, events: dict[str, np.ndarray]
) -> None:
    w, label = events["w"], events["label"]
    told = np.abs(w[:, 2]) > toy.echo / 2
    assert (told != label).mean() == pytest.approx(toy.flip, abs=0.002)
    trigger = fit_logistic(told[:, None], label)[1]
    assert trigger == pytest.approx(entropy(toy.flip), abs=0.005)
    assert fit_logistic(w, label)[1] > trigger + 0.2
    # the coin: no function of x predicts w3, so no network comes near the trigger's threshold
    u, s = events["x"].T
    assert np.abs([w[half, 2].mean() for half in (u > 0, s > 0, u < 0, s < 0)]).max() < 0.01


def test_both_planes_lead_to_the_labels_true_probability(
    toy: Toy3, events: dict[str, np.ndarray]
) -> None:
    u, s = events["x"].T
    reached = fit_logistic(np.column_stack([u, toy.side * s]), events["label"])[1]
    true = entropy(sigmoid(toy.label_u * u + toy.label_s * s))
    assert reached == pytest.approx(true, abs=0.003)


# ------------------------------------------------------------------ the best chain, by bounds


def lower_bounds(
    toy: Toy3, x: np.ndarray, weights: tuple[float, float, float]
) -> dict[tuple[str, str, str], float]:
    """Least weighted loss of every chain: each task's own, given what the chain lets through.

    After a `curve` as first task everything is a function of u, after `line` one of u + s. After
    (`plane`, `curve`) and (`plane`, `line`) it is one of a single direction
    d = cos(angle) u + sin(angle) s, which the first task may turn, away from its own best, at a
    cost. What limits the logit limits it best where it follows the true log-odds up to the
    limit; `trigger` sees nothing. Every bound but that of `trigger` holds for any training.
    """
    u, s = x.T
    log_odds = toy.label_u * u + toy.label_s * s
    probability = sigmoid(log_odds)
    damping = np.exp(-((np.pi * toy.noise / HALF_WIDTH) ** 2) / 2)
    expected = np.column_stack([u + damping * toy.wave(u), toy.side * s])  # w1, w2 given x
    bend, side = toy.bend**2, toy.side**2
    floor = floor_w(toy) + toy.noise**2 + side * toy.blur_z**2 + bend * (1 - damping**2)

    def given(direction: np.ndarray) -> tuple[float, float]:
        """Losses of tasks 2 and 3 for any functions of one number per event (200 bins of it)."""
        bins = np.argsort(np.argsort(direction)) * 200 // len(direction)
        count = np.bincount(bins)

        def averages(values: np.ndarray) -> np.ndarray:
            return np.bincount(bins, values) / count

        spread = sum(float((part - averages(part)[bins]).var()) for part in expected.T)
        return floor + spread, entropy(averages(probability))

    angles = np.linspace(0, np.pi, 60, endpoint=False)
    turned = [(np.cos(a), np.sin(a), given(np.cos(a) * u + np.sin(a) * s)) for a in angles]
    z = floor_z(toy)
    options = {  # losses of the three tasks, at every angle if the chain has a choice
        ("plane", "plane"): [(z + bend, floor + bend * damping**2, entropy(probability))],
        ("plane", "curve"): [(z + bend + si**2, *rest) for co, si, rest in turned],
        ("plane", "line"): [
            (z + bend + (si - toy.side * co) ** 2 / 2, *rest) for co, si, rest in turned
        ],
    }
    for second in REGRESSION:
        options["curve", second] = [(z + side, *given(u))]
        options["line", second] = [(z + bend + (1 + side) / 2, *given(u + s))]
    limit = float(OmegaConf.load(CONF / "candidate" / "toy3_label" / "cautious.yaml").limit)
    limited = np.clip(log_odds, -limit, limit)
    cautious = float((np.logaddexp(0, limited) - probability * limited).mean())
    least = {"trigger": np.log(2), "logistic": 0.0, "cautious": cautious}
    return {
        (*regressions, last): min(
            float(np.dot(weights, (first, second, max(third, least[last]))))
            for first, second, third in choices
        )
        for regressions, choices in options.items()
        for last in CLASSIFICATION
    }


def test_the_best_chain_is_plane_plane_logistic(toy: Toy3, events: dict[str, np.ndarray]) -> None:
    bounds = lower_bounds(toy, events["x"][::4], (1 / 3, 1 / 3, 1 / 3))
    assert set(bounds) == set(product(REGRESSION, REGRESSION, CLASSIFICATION))
    order = sorted(bounds, key=lambda chain: bounds[chain])
    assert order[:2] == [("plane", "plane", "logistic"), ("plane", "plane", "cautious")]
    assert 1 - bounds[order[0]] / bounds[order[1]] == pytest.approx(0.09, abs=0.015)
    assert bounds["curve", "curve", "trigger"] > bounds[order[0]] * 1.2


def test_a_heavy_first_task_turns_to_curve(toy: Toy3, events: dict[str, np.ndarray]) -> None:
    bounds = lower_bounds(toy, events["x"][::4], (0.9, 0.05, 0.05))
    assert min(bounds, key=lambda chain: bounds[chain])[0] == "curve"


# ------------------------------------------------------------------ the real pipeline


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of runs: what is pre-trained once serves every test."""
    return tmp_path_factory.mktemp("runs")


def overrides(output: Path, *more: str) -> list[str]:
    return ["problem=toy3", "trainer=cpu", "logger=none", f"output={output}", *more]


def do_run(output: Path, *more: str) -> dict[str, Any]:
    return run(compose_config(overrides(output, *more)), console=QUIET)


def test_spos_finds_the_best_of_27_chains(output: Path, toy: Toy3) -> None:
    result = do_run(output)
    assert list(result["selected"].values()) == ["plane", "plane", "logistic"]
    assert list(result["selected"]) == TASKS
    ranked = [one for one in result["chains"] if one["stage"] == "search"]
    chains = [tuple(one["selected"].values()) for one in ranked]
    assert sorted(chains) == sorted(product(REGRESSION, REGRESSION, CLASSIFICATION))
    losses = [one["valid"]["loss"] for one in ranked]
    assert losses == sorted(losses)
    # what the first two tasks lose by being linear is there, and little more
    test = result["metrics"]["test"]
    assert test["toy3_z/mse"] == pytest.approx(floor_z(toy) + toy.bend**2, rel=0.08)
    assert test["toy3_label/auc"] > 0.96
    # in pre-training other candidates were the best, one and all
    best: dict[str, dict[str, float]] = {task: {} for task in TASKS}
    for line in RunDirectory(output / "toy3" / "spos" / result["key"]).history():
        if line["stage"] == "pretrain":
            task, name = line["model"].split("/")
            best[task][name] = min(line["valid/loss"], best[task].get(name, np.inf))
    picks = [min(best[task], key=lambda name, task=task: best[task][name]) for task in TASKS]
    assert picks == ["curve", "curve", "trigger"]


def test_weights_of_three_tasks(output: Path) -> None:
    given = {"toy3_z": 18, "toy3_w": 1, "toy3_label": 1}
    result = do_run(output, *(f"task_weights.{task}={value}" for task, value in given.items()))
    assert result["task_weights"] == pytest.approx(
        {"toy3_z": 0.9, "toy3_w": 0.05, "toy3_label": 0.05}
    )
    assert result["selected"]["toy3_z"] == "curve"
    scores = result["metrics"]["valid"]
    weighted = sum(result["task_weights"][task] * scores[f"{task}/loss"] for task in TASKS)
    assert scores["loss"] == pytest.approx(weighted, rel=1e-5)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["task_weight=0.5"], r"^task_weight=0\.5: only for a chain of two tasks.*task_weights"),
        (["task_weights.toy3_z=0.5"], r"^task_weights\.toy3_w: missing"),
    ],
)
def test_weights_that_cannot_be(output: Path, more: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_plan(compose_config(overrides(output, *more)))
