"""`python -m msnas.compare`: numbers by hand, errors against the bootstrap, real runs, refusals."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import compose_config, renew_checksums
from made_scan import write_made_run
from rich.console import Console
from sklearn.metrics import roc_auc_score
from torchmetrics.classification import BinaryAUROC

from msnas.auc import auc_contrast_error, auc_covariance
from msnas.compare.__main__ import Settings, compare, main
from msnas.compare.groups import group_runs
from msnas.compare.output import as_json, show
from msnas.compare.shared_events import SharedTestEvents
from msnas.errors import ConfigError, DataError
from msnas.evaluation.class_accuracy import ClassAccuracy
from msnas.evaluation.sample_error import bootstrap_error
from msnas.results.quality import (
    hit,
    kendall_tau,
    probability_ranking,
    random_hit,
    random_regret,
    regret,
)
from msnas.results.runs import collect
from msnas.results.statistics import leaving_out, mean_estimate, rate_estimate
from msnas.run import run

NAMES = {"one": ["a", "b"], "two": ["c", "d"]}
Losses = dict[tuple[str, ...], float]
GRID: Losses = {("a", "c"): 1.0, ("a", "d"): 2.0, ("b", "c"): 3.0, ("b", "d"): 4.0}
SCORES: Losses = {("a", "c"): 0.9, ("a", "d"): 0.8, ("b", "c"): 0.7, ("b", "d"): 0.6}
SWAPPED: Losses = {**GRID, ("a", "c"): 2.0, ("a", "d"): 1.0}


def write_run(
    place: Path,
    method: str,
    seed: int,
    *,
    selected: Sequence[str],
    losses: Mapping[tuple[str, ...], float] | None = None,
    names: Mapping[str, list[str]] = NAMES,
    metric: str = "auc",
    higher: bool = True,
    test: float = 0.8,
    result: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
) -> Path:
    """A run directory with made numbers; a chain's metric is 1 - its loss / 10 or its loss."""
    tasks = list(names)
    last = tasks[-1]

    def numbers(loss: float) -> dict[str, float]:
        value = 1 - loss / 10 if higher else loss
        return {"loss": loss, f"{last}/loss": loss, f"{last}/{metric}": value}

    chains = [
        {"selected": dict(zip(tasks, path, strict=True)), "valid": numbers(loss), "stage": "search"}
        for path, loss in (losses or {}).items()
    ]
    made = {
        "metrics": {"valid": numbers(1.0), "test": {**numbers(1.0), f"{last}/{metric}": test}},
        "directions": {f"{last}/{metric}": higher, f"{last}/bias": None},
        "chains": chains,
        "stages": {},
    }
    settings = {
        "tasks": {task: {"candidates": {name: {} for name in names[task]}} for task in tasks},
        "recipe": {"search": {"epochs": 2}, "posttrain": {"epochs": 2}, "evaluation_batch": 10},
        "trainer": {"accelerator": "cpu", "precision": "32-true", "threads": 1},
        "method": {"name": method, "_target_": "x"},
    }
    return write_made_run(
        place,
        method,
        seed,
        tasks=tasks,
        weights=[1 / len(tasks)] * len(tasks),
        chain=selected,
        settings={**settings, **(config or {})},
        result={**made, **(result or {})},
    )


def rows(place: Path, **settings: Any) -> tuple[dict[tuple[str, str], Any], dict[str, Any]]:
    """Agreement rows by method and quantity, and the whole comparison as JSON."""
    content = as_json(compare(Settings(runs=[str(place)], **settings)))
    (group,) = content["groups"]
    return {(row["method"], row["quantity"]): row for row in group["agreement"]}, content


def test_tau_regret_and_hits_by_hand() -> None:
    assert kendall_tau(SWAPPED, GRID) == pytest.approx(4 / 6)
    assert kendall_tau(GRID, {path: -loss for path, loss in GRID.items()}) == pytest.approx(-1)
    assert kendall_tau(GRID, dict.fromkeys(GRID, 1.0)) is None
    assert kendall_tau({("a",): 1.0}, {("a",): 2.0}) is None
    with pytest.raises(ValueError, match="different chains"):
        kendall_tau(GRID, {("a", "c"): 1.0})
    assert regret(GRID, ("b", "c"), higher_is_better=False) == 2.0
    assert regret(SCORES, ("a", "d"), higher_is_better=True) == pytest.approx(0.1)
    assert random_regret(GRID, higher_is_better=False) == 1.5
    assert random_regret(SCORES, higher_is_better=True) == pytest.approx(0.15)
    assert hit(GRID, ("a", "c"))
    assert not hit(GRID, ("a", "d"))
    assert random_hit(GRID) == 0.25
    assert random_hit({("a",): 1.0, ("b",): 1.0}) == 1.0


def test_random_numbers_are_the_mean_over_all_choices() -> None:
    table: Losses = {(str(n),): value for n, value in enumerate(np.random.default_rng(0).random(7))}
    each = [regret(table, path, higher_is_better=True) for path in table]
    assert random_regret(table, higher_is_better=True) == pytest.approx(np.mean(each))
    assert random_hit(table) == pytest.approx(1 / 7)


def test_probabilities_rank_chains_by_their_product() -> None:
    ranking = probability_ranking([{"a": 0.75, "b": 0.25}, {"c": 0.6, "d": 0.4}])
    expected = {("a", "c"): 0.45, ("a", "d"): 0.3, ("b", "c"): 0.15, ("b", "d"): 0.1}
    assert ranking == pytest.approx({path: -value for path, value in expected.items()})
    assert kendall_tau(ranking, GRID) == pytest.approx(1)


def test_intervals_by_hand() -> None:
    """Student: 2 +- 2.776 sqrt(2.5 / 5). Clopper-Pearson: 0.025^(1/5) for 5 of 5."""
    estimate = mean_estimate([0, 1, 2, 3, 4], confidence=0.95)
    assert (estimate.low, estimate.high) == pytest.approx((0.0368, 3.9632), abs=1e-4)
    cut = mean_estimate([0, 1, 2, 3, 4], confidence=0.99, lowest=0.0, highest=3.0)
    assert (cut.low, cut.high) == (0.0, 3.0)
    narrow = mean_estimate([0, 1, 2, 3, 4], confidence=0.68)
    assert narrow.low is not None
    assert estimate.low is not None
    assert narrow.low > estimate.low
    rate = rate_estimate([True] * 5, confidence=0.95)
    assert (rate.low, rate.high) == pytest.approx((0.025**0.2, 1.0))
    some = rate_estimate([True] * 3 + [False] * 2, confidence=0.95)
    assert (some.low, some.high) == pytest.approx((0.1466, 0.9473), abs=1e-4)


def test_no_interval_below_five_seeds_or_without_spread() -> None:
    four = [mean_estimate([0, 1, 2, 3], confidence=0.95), rate_estimate([True] * 4, confidence=0.9)]
    for estimate in [*four, mean_estimate([0.0] * 6, confidence=0.95)]:
        assert estimate.low is None
        assert estimate.high is None


def tied_scores(models: int, events: int) -> tuple[np.ndarray, np.ndarray]:
    """Correlated, rounded scores of some models, and labels."""
    generator = np.random.default_rng(3)
    label = generator.integers(2, size=events)
    common = label + generator.standard_normal(events)
    scores = common + generator.standard_normal((models, events)) * 0.7
    return scores.round(1), label


def test_delong_is_its_definition() -> None:
    """The components event by event from the kernel, and areas as scikit-learn has them."""
    scores, label = tied_scores(3, 60)
    areas, covariance = auc_covariance(scores, label)
    ones, zeros = scores[:, label == 1], scores[:, label == 0]
    kernel = (ones[:, :, None] > zeros[:, None, :]) + 0.5 * (ones[:, :, None] == zeros[:, None, :])
    expected = np.cov(kernel.mean(2)) / ones.shape[1] + np.cov(kernel.mean(1)) / zeros.shape[1]
    assert areas == pytest.approx([roc_auc_score(label, one) for one in scores])
    assert covariance == pytest.approx(expected)
    error = auc_contrast_error(scores, label, np.array([1.0, -1.0, 0.0]))
    variance = expected[0, 0] + expected[1, 1] - 2 * expected[0, 1]
    assert error == pytest.approx(variance**0.5)
    assert auc_contrast_error(scores[[0, 0]], label, np.array([1.0, -1.0])) == pytest.approx(
        0, abs=1e-9
    )


def test_delong_needs_two_events_of_each_class() -> None:
    with pytest.raises(ValueError, match="1 of 1 and 2 of 0"):
        auc_covariance(np.zeros((1, 3)), np.array([0, 1, 0]))


def test_delong_agrees_with_a_bootstrap() -> None:
    """300 draws tell an error to 4 %."""
    scores, label = tied_scores(2, 400)
    weights = np.array([1.0, -1.0])
    drawn = bootstrap_error(
        BinaryAUROC(),
        list(torch.from_numpy(scores)),
        torch.from_numpy(label),
        weights,
        generator=np.random.default_rng(1),
    )
    assert drawn == pytest.approx(auc_contrast_error(scores, label, weights), rel=0.15)


def test_bootstrap_of_an_accuracy_is_binomial() -> None:
    generator = np.random.default_rng(0)
    right = torch.from_numpy(generator.random(500) < 0.8)
    logits = torch.stack((~right, right), -1).float()
    truth = torch.ones(500, dtype=torch.long)
    share = float(right.float().mean())
    error = bootstrap_error(ClassAccuracy(), [logits], truth, np.ones(1), generator=generator)
    assert error == pytest.approx((share * (1 - share) / 500) ** 0.5, rel=0.15)


def test_rows_of_made_runs(tmp_path: Path) -> None:
    """Two seeds: a full ranking with one swap, a method with probabilities, no intervals."""
    probabilities = {"one": {"a": 0.75, "b": 0.25}, "two": {"c": 0.6, "d": 0.4}}
    for seed in (0, 1):
        write_run(tmp_path, "grid_search", seed, selected=["a", "c"], losses=GRID, test=0.8)
        spos = ["a", "d"] if seed else ["a", "c"]
        write_run(tmp_path, "spos", seed, selected=spos, losses=SWAPPED, test=0.7 + 0.2 * seed)
    write_run(
        tmp_path,
        "darts",
        0,
        selected=["a", "c"],
        losses={("a", "c"): 1.0},
        result={"probabilities": probabilities},
    )
    found, content = rows(tmp_path)
    assert found["spos", "tau"]["values"] == pytest.approx([4 / 6, 4 / 6])
    assert found["spos", "regret in loss"]["values"] == [0.0, 1.0]
    assert found["spos", "regret in two/auc"]["values"] == pytest.approx([0.0, 0.1])
    assert found["spos", "regret in two/auc"]["random"] == pytest.approx(0.15)
    assert found["spos", "hit rate"]["mean"] == 0.5
    assert found["spos", "hit rate"]["random"] == 0.25
    assert ("darts", "tau") not in found
    assert found["darts", "tau of probabilities"]["values"] == pytest.approx([1.0])
    assert not any("low" in row for row in found.values())
    (group,) = content["groups"]
    performance = {(row["method"], row["quantity"]): row for row in group["performance"]}
    auc = performance["spos", "two/auc"]
    assert auc["values"] == pytest.approx([-0.1, 0.1])
    assert auc["mean"] == pytest.approx(0)
    assert (auc["better"], auc["reference_mean"]) == ("higher", pytest.approx(0.8))
    assert "test_error" not in auc
    assert any("no test error" in note for note in group["notes"])


def test_rank_agreement_relative_to_grid_search_s_own(tmp_path: Path) -> None:
    """Three seeds in which the best chains change places, and a search that always has one order.

    tau of the tables of seeds 0 and 1 is 4/6, of 0 and 2 also, of 1 and 2 it is 1: 7/9 on average.
    """
    for seed, table in enumerate((GRID, SWAPPED, SWAPPED)):
        write_run(tmp_path, "grid_search", seed, selected=["a", "c"], losses=table)
        write_run(tmp_path, "spos", seed, selected=["a", "c"], losses=GRID)
    found, _ = rows(tmp_path)
    own = found["grid_search, between seeds", "tau"]
    assert own["mean"] == pytest.approx(7 / 9)
    assert own["values"] == pytest.approx([4 / 6, 5 / 6, 5 / 6])
    relative = found["spos", "tau relative to grid_search's own"]
    assert relative["values"] == pytest.approx([9 / 7, 6 / 7, 6 / 7])
    assert relative["mean"] == pytest.approx(1.0)
    assert "low" not in relative


def test_a_search_as_good_as_another_training_has_a_relative_agreement_of_1(tmp_path: Path) -> None:
    """Where a search ranks by one more training of every chain, the interval covers 1."""
    generator = np.random.default_rng(3)
    truth = np.arange(1.0, 5.0)

    def trained() -> Losses:
        return dict(zip(GRID, (truth + generator.normal(size=4)).tolist(), strict=True))

    for seed in range(20):
        write_run(tmp_path, "grid_search", seed, selected=["a", "c"], losses=trained())
        write_run(tmp_path, "spos", seed, selected=["a", "c"], losses=trained())
        write_run(
            tmp_path,
            "asng",
            seed,
            selected=["a", "c"],
            losses={path: float(generator.normal()) for path in GRID},
        )
    found, _ = rows(tmp_path)
    own = found["grid_search, between seeds", "tau"]
    assert 0.2 < own["low"] < own["mean"] < own["high"] < 0.8
    good = found["spos", "tau relative to grid_search's own"]
    assert good["low"] < 1 < good["high"]
    assert good["high"] - good["low"] < 1
    bad = found["asng", "tau relative to grid_search's own"]
    assert bad["low"] < 0 < bad["high"] < good["mean"]


def test_an_interval_by_leaving_out_each_value_is_that_of_their_mean() -> None:
    """Of a mean the jackknife is Student's t, exactly; of other numbers it is asymptotic."""
    values = [0.1, 0.5, 0.3, 0.9, 0.4, 0.2]
    without = [(sum(values) - one) / 5 for one in values]
    expected = mean_estimate(values, confidence=0.9)
    found = leaving_out(sum(values) / 6, without, confidence=0.9)
    assert (found.mean, found.low, found.high) == pytest.approx(
        (expected.mean, expected.low, expected.high)
    )
    assert leaving_out(0.4, without[:4], confidence=0.9).low is None


def test_intervals_from_five_seeds_on(tmp_path: Path) -> None:
    for seed in range(5):
        write_run(tmp_path, "grid_search", seed, selected=["a", "c"], losses=GRID)
        chosen = ["a", "d"] if seed == 4 else ["a", "c"]
        write_run(tmp_path, "random_choice", seed, selected=chosen, test=0.8 + seed / 100)
    found, content = rows(tmp_path, confidence=0.68)
    wide, _ = rows(tmp_path, confidence=0.95)
    screen = io.StringIO()
    show(compare(Settings(runs=[str(tmp_path)])), Console(file=screen, width=80))
    said = screen.getvalue()
    assert "0.2836 to 0.9949" in said  # 4 of 5
    assert "Test two/auc (higher is better) against grid_search" in said
    regrets = "random_choice", "regret in loss"
    assert found[regrets]["low"] >= 0
    assert found[regrets]["high"] < wide[regrets]["high"]
    assert found["random_choice", "hit rate"]["mean"] == 0.8
    assert 0 < found["random_choice", "hit rate"]["low"] < 0.8
    (difference, _) = content["groups"][0]["performance"]
    assert difference["mean"] == pytest.approx(0.02)
    assert difference["low"] < 0.02 < difference["high"]


@pytest.mark.parametrize("depth", [1, 3])
def test_any_length_of_chain_and_a_metric_where_lower_is_better(tmp_path: Path, depth: int) -> None:
    names = {f"task{n}": ["a", "b"] for n in range(depth)}
    worst, best = ("a",) * depth, ("b",) * depth
    losses = {path: 1.0 + path.count("a") for path in _paths(depth)}
    options: dict[str, Any] = {"names": names, "metric": "mse", "higher": False}
    write_run(tmp_path, "grid_search", 7, selected=best, losses=losses, **options)
    write_run(tmp_path, "fixed_chain", 7, selected=worst, **options)
    found, content = rows(tmp_path)
    quantity = "fixed_chain", f"regret in task{depth - 1}/mse"
    assert found[quantity]["values"] == [depth]
    assert found[quantity]["random"] == pytest.approx(depth / 2)
    assert content["groups"][0]["performance"][0]["better"] == "lower"


def _paths(depth: int) -> list[tuple[str, ...]]:
    paths: list[tuple[str, ...]] = [()]
    for _ in range(depth):
        paths = [(*path, name) for path in paths for name in "ab"]
    return paths


@pytest.mark.parametrize(
    "change",
    [
        {"result": {"data": {"sha256": "1", "events": 100}}},
        {"result": {"task_weights": {"one": 0.9, "two": 0.1}}},
        {"names": {"one": ["a", "b", "e"], "two": ["c", "d"]}},
        {"config": {"recipe": {"posttrain": {"epochs": 3}, "search": {}, "evaluation_batch": 1}}},
    ],
    ids=["data", "weights", "candidates", "recipe"],
)
def test_unlike_runs_are_not_compared(tmp_path: Path, change: dict[str, Any]) -> None:
    write_run(tmp_path, "grid_search", 0, selected=["a", "c"], losses=GRID)
    write_run(tmp_path, "spos", 0, selected=["a", "c"], losses=GRID, **change)
    with pytest.raises(DataError, match="missing: runs of grid_search") as error:
        compare(Settings(runs=[str(tmp_path)]))
    assert "found spos (seeds 0)" in str(error.value)


def test_settings_of_a_method_are_told_apart(tmp_path: Path) -> None:
    """And those of the search; a run of the same settings and seed is named, not counted."""

    def darts(order: int) -> dict[str, Any]:
        return {"method": {"name": "darts", "_target_": "x", "order": order}}

    write_run(tmp_path, "grid_search", 0, selected=["a", "c"], losses=GRID)
    write_run(tmp_path, "darts", 0, selected=["a", "c"], config=darts(1))
    write_run(tmp_path, "darts", 0, selected=["a", "d"], config=darts(2))
    again = write_run(tmp_path, "darts", 0, selected=["a", "d"], config=darts(2))
    found, content = rows(tmp_path)
    assert found["darts order=1", "regret in loss"]["values"] == [0.0]
    assert found["darts order=2", "regret in loss"]["values"] == [1.0]
    assert [other["directory"] for other in content["others"]] == [str(again)]
    _, other_way = rows(tmp_path, reference="darts order=1")
    assert {row["reference"] for row in other_way["groups"][0]["performance"]} == {"darts order=1"}
    _, unclear = rows(tmp_path, reference="darts")
    assert "reference='darts order=1'" in " ".join(unclear["groups"][0]["notes"])
    assert not unclear["groups"][0]["performance"]


def test_a_table_with_missing_chains_is_left_out(tmp_path: Path) -> None:
    part = {path: loss for path, loss in GRID.items() if path != ("b", "d")}
    write_run(tmp_path, "grid_search", 0, selected=["a", "c"], losses=part)
    write_run(tmp_path, "spos", 0, selected=["a", "c"], losses=GRID)
    found, content = rows(tmp_path)
    assert not found
    assert "holds 3 of 4 chains" in " ".join(content["groups"][0]["notes"])


def test_others_are_named_with_their_reason(tmp_path: Path) -> None:
    line = "2026-01-01 00:00:00,000 {} {}\n"
    logs = {
        "failed": line.format("ERROR", "the run ended with an error")
        + "Traceback (most recent call last):\nmsnas.errors.TrainingError: loss is nan\n",
        "resumed": line.format("ERROR", "the run ended with an error")
        + "KeyError: 1\n"
        + line.format("INFO", "going on"),
    }
    for name, log in logs.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "log").write_text(log)
    broken = write_run(tmp_path, "spos", 0, selected=["a", "c"])
    (broken / "result.json").write_text("{")
    inner = write_run(tmp_path, "spos", 1, selected=["a", "c"]) / "wandb"
    inner.mkdir()
    (inner / "config.yaml").write_text("not: a run")
    newer = write_run(tmp_path, "spos", 2, selected=["a", "c"], result={"schema": 2})
    runs = collect([tmp_path, tmp_path / "made/spos"])
    assert [one.seed for one in runs.finished] == [1]
    reasons = {other.directory.name: other.reason for other in runs.others}
    assert reasons["failed"] == "failed: msnas.errors.TrainingError: loss is nan"
    assert reasons["resumed"].startswith("unfinished or still running; last in its log: going on")
    assert "result.json cannot be read" in reasons[broken.name]
    assert reasons[newer.name] == "result.json: schema 2, expected 1"


def test_wrong_inputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        compare(Settings(runs=[str(tmp_path / "nowhere")]))
    for confidence in (0.0, 1.0, 95.0):
        with pytest.raises(ConfigError, match="confidence"):
            compare(Settings(runs=[str(tmp_path)], confidence=confidence))
    with pytest.raises(ConfigError, match="at least one folder"):
        compare(Settings(runs=[]))
    with pytest.raises(SystemExit) as error:
        main([f"runs={tmp_path}"])
    assert "no finished run" in str(error.value)
    assert not list(tmp_path.iterdir())
    with pytest.raises(SystemExit):
        main([])
    assert "runs: required but missing" in capsys.readouterr().err


@pytest.fixture(scope="module")
def toy_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short runs of three methods with two seeds each."""
    output = tmp_path_factory.mktemp("toy") / "runs"
    for method in ("grid_search", "spos", "random_choice"):
        for seed in (0, 1):
            config = compose_config(
                [
                    "problem=toy",
                    "debug=smoke",
                    "candidate/toy_regression=[curve,plane]",
                    "candidate/toy_classification=[trigger,logistic]",
                    "trainer=cpu",
                    f"method={method}",
                    f"seed={seed}",
                    f"output={output}",
                ]
            )
            run(config, console=Console(quiet=True))
    return output


def test_real_runs_end_to_end(toy_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers follow from the result files; the files are written anew by a second comparison."""
    for _ in range(2):
        main([f"runs={toy_runs}"])
    said = capsys.readouterr()
    assert "tau" in said.out
    assert not said.err
    folder = toy_runs / "compare"
    assert sorted(path.name for path in folder.iterdir()) == ["compare.csv", "compare.json"]
    content = json.loads((folder / "compare.json").read_text())
    (group,) = content["groups"]
    assert not group["notes"]
    assert not content["others"]
    agreement = {(row["method"], row["quantity"]): row for row in group["agreement"]}
    results = {
        (label, seed): json.loads((Path(place) / "result.json").read_text())
        for label, seeds in group["runs"].items()
        for seed, place in seeds.items()
    }
    for seed in (0, 1):
        grid = results["grid_search", str(seed)]
        losses = {
            tuple(one["selected"].values()): one["valid"]["loss"]
            for one in grid["chains"]
            if one["stage"] == "search"
        }
        chosen = tuple(results["spos", str(seed)]["selected"].values())
        expected = losses[chosen] - min(losses.values())
        assert agreement["spos", "regret in loss"]["values"][seed] == pytest.approx(expected)
    assert -1 <= agreement["spos", "tau"]["mean"] <= 1
    assert agreement["spos", "hit rate"]["random"] == pytest.approx(1 / 4)
    assert ("random_choice", "tau") not in agreement
    with (folder / "compare.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(group["agreement"]) + len(group["performance"])
    performance = {(row["method"], row["quantity"]): row for row in group["performance"]}
    assert {quantity for _, quantity in performance} == {
        "toy_regression/mse",
        "toy_classification/auc",
        "toy_classification/loss",
    }
    for (method, quantity), row in performance.items():
        differences = [
            results[method, seed]["metrics"]["test"][quantity]
            - results["grid_search", seed]["metrics"]["test"][quantity]
            for seed in ("0", "1")
        ]
        assert row["values"] == pytest.approx(differences)
        assert row["test_error"] >= 0
        assert "low" not in row


def test_test_errors_of_real_chains_agree_with_a_bootstrap(toy_runs: Path) -> None:
    """For the mean of two seeds' differences, of an area and of a mean loss."""
    (group,), _ = group_runs(collect([toy_runs]).finished)
    quantities = ["toy_regression/mse", "toy_classification/auc"]
    sample = SharedTestEvents(group.first)
    chains = {
        label: [sample.outputs(one, quantities) for one in group.runs[label].values()]
        for label in ("random_choice", "grid_search")
    }
    first, second = chains["random_choice"], chains["grid_search"]
    weights = np.array([0.5, 0.5, -0.5, -0.5])
    for quantity in quantities:
        name, metric = quantity.split("/")
        level, task = sample.tasks[name]
        drawn = bootstrap_error(
            task.metrics[metric],
            [one[level] for one in (*first, *second)],
            sample.events[task.target],
            weights,
            generator=np.random.default_rng(2),
        )
        error = sample.error_of_difference(quantity, first, second)
        assert error > 0
        assert drawn == pytest.approx(error, rel=0.2)


def test_changed_data_or_weights_leave_the_test_error_out(toy_runs: Path, tmp_path: Path) -> None:
    copied = tmp_path / "runs"
    shutil.copytree(toy_runs / "toy", copied / "toy")
    (model,) = [
        path
        for path in copied.glob("toy/spos/*/model.ckpt")
        if json.loads((path.parent / "result.json").read_text())["seed"] == 1
    ]
    weights = torch.load(model, weights_only=True)
    weights["weights"] = {key: value + 0.5 for key, value in weights["weights"].items()}
    torch.save(weights, model)
    renew_checksums(model.parent)
    (group,) = as_json(compare(Settings(runs=[str(copied)])))["groups"]
    assert "of the test events is" in " ".join(group["notes"])
    told = {row["method"]: "test_error" in row for row in group["performance"]}
    assert told == {"random_choice": True, "spos": False}
    for path in copied.glob("toy/*/*/config.yaml"):
        config = yaml.safe_load(path.read_text())
        config["data"]["source"]["seed"] = 1
        path.write_text(yaml.safe_dump(config))
        renew_checksums(path.parent)
    (group,) = as_json(compare(Settings(runs=[str(copied)])))["groups"]
    assert "the data are not those of" in " ".join(group["notes"])
    assert not any("test_error" in row for row in group["performance"])
