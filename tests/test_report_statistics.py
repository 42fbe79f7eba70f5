"""Medians, intervals, errors of the test sample, and the axis of v1: by hand and by simulation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_scan import made_scan, write_made_run
from sklearn.metrics import roc_auc_score

from msnas.report.tables import chains_table, differences_table, methods_table
from msnas.results.event_error import event_error, paired_event_error
from msnas.results.quantity import Quantity
from msnas.results.runs import collect
from msnas.results.statistics import median_of

AUC = Quantity(name="classify/auc", label="AUC", higher_is_better=True)


def test_median_and_its_order_statistics_by_hand() -> None:
    few = median_of([0.4, 0.1, float("nan"), 0.2])
    assert (few.count, few.median, few.low) == (3, 0.2, None)
    # 1 - 2 P(Binomial(10, 1/2) < 3) = 1 - 2 * 56 / 1024; with < 4 it would be 0.656
    ten = median_of(list(range(1, 11)))
    assert (ten.median, ten.low, ten.high) == (5.5, 3, 8)
    assert ten.covers == pytest.approx(1 - 2 * 56 / 1024)
    assert (median_of(list(range(1, 11)), level=0.65).low) == 4
    assert median_of([1, 2, 3, 4, 5], level=0.95).low is None
    six = median_of([1, 2, 3, 4, 5, 6], level=0.95)
    assert (six.low, six.high, six.covers) == (1, 6, 1 - 2 / 64)


@pytest.mark.parametrize("count", [5, 8, 20])
def test_intervals_cover_the_median_as_often_as_they_say(count: int) -> None:
    generator = np.random.default_rng(0)
    found = [median_of(generator.exponential(size=count).tolist()) for _ in range(2000)]
    truth = np.log(2)
    hits = np.mean([(one.low or 0) <= truth <= (one.high or 0) for one in found])
    assert found[0].covers is not None
    assert found[0].covers >= 0.68
    assert hits == pytest.approx(found[0].covers, abs=0.03)


def scored(
    place: Path, seed: int, *, shift: float = 1.0, method: str = "spos", truth: int = 0
) -> np.ndarray:
    """A run with outputs whose AUC is the one in its result; its scores."""
    label = np.random.default_rng(truth).integers(0, 2, 400)
    noise = np.random.default_rng(seed + 100).normal(size=400)
    score = 1 / (1 + np.exp(-(noise + shift * label)))
    write_made_run(
        place,
        method,
        seed,
        numbers={
            "calibrate/mse": 0.3,
            "classify/auc": float(roc_auc_score(label, score)),
            "validity/joint": 0.75,
        },
        scores=(score, label),
    )
    return np.stack([score, label])


def test_the_test_error_is_the_spread_over_test_samples(tmp_path: Path) -> None:
    score, label = scored(tmp_path, 0)
    (run,) = collect([tmp_path]).finished
    generator = np.random.default_rng(1)
    drawn = [generator.integers(0, 400, 400) for _ in range(400)]
    spread = np.std([roc_auc_score(label[one], score[one]) for one in drawn])
    assert event_error(run, AUC) == pytest.approx(spread, rel=0.15)
    validity = Quantity(name="validity/joint", label="", higher_is_better=None)
    assert event_error(run, validity) == pytest.approx((0.75 * 0.25 / 400) ** 0.5)
    mse = Quantity(name="calibrate/mse", label="", higher_is_better=False)
    assert event_error(run, mse) is None


def test_outputs_that_are_not_the_runs_give_no_error(tmp_path: Path) -> None:
    label = np.arange(100) % 2
    numbers = {"calibrate/mse": 0.3, "classify/auc": 0.9}
    write_made_run(tmp_path, numbers=numbers, scores=(np.full(100, 0.5), label))
    write_made_run(tmp_path, "darts")
    runs = collect([tmp_path]).finished
    assert [event_error(run, AUC) for run in runs] == [None, None]


def test_paired_error_is_below_the_unpaired_and_needs_the_same_events(tmp_path: Path) -> None:
    one = scored(tmp_path, 0, method="darts")
    two = scored(tmp_path, 0, method="spos", shift=1.01)
    scored(tmp_path, 0, method="other", truth=5)
    first, stranger, second = collect([tmp_path]).finished
    paired = paired_event_error([(second, first)], AUC)
    generator = np.random.default_rng(1)
    drawn = [generator.integers(0, 400, 400) for _ in range(300)]
    spread = np.std(
        [
            roc_auc_score(two[1][pick], two[0][pick]) - roc_auc_score(one[1][pick], one[0][pick])
            for pick in drawn
        ]
    )
    assert paired == pytest.approx(spread, rel=0.2)
    alone = event_error(first, AUC)
    assert alone is not None
    assert paired is not None
    assert paired < alone / 3
    assert paired_event_error([(stranger, first)], AUC) is None


def test_the_tables_hold_the_medians_and_differences(tmp_path: Path) -> None:
    runs = collect([made_scan(tmp_path)])
    methods = methods_table(runs).table.set_index(["method", "v1"])
    spos = methods.loc[("spos", 0.5)]
    assert spos["runs"] == 6
    assert spos["chains"] == "cnn-lstm 4, mlp-lstm 2"
    assert spos["AUC of classify"] == pytest.approx(0.8 + 0.0125 - 0.1 / 16, abs=1e-4)
    assert spos["MSE of calibrate, 68 %"] == "0.41 to 0.44"  # second to fifth of six cover 0.78
    assert pd.isna(methods.loc[("darts", 0.5)]["MSE of calibrate, 68 %"])
    assert spos["seconds"] == 16
    differences = differences_table(runs).table
    same = differences[(differences["method"] == "spos") & (differences["v1"] == 0.99)]
    assert set(same["reference"]) == {"grid_search"}
    assert list(same["pairs"]) == [2, 2, 2]
    assert list(same["median difference"]) == [0, 0, 0]
    chains = chains_table(runs).table
    lowest = chains[chains["v1"] == 0]
    assert list(lowest["AUC of classify"]) == sorted(lowest["AUC of classify"], reverse=True)


def test_pairs_share_seed_weights_and_settings(tmp_path: Path) -> None:
    def auc(value: float) -> dict[str, float]:
        return {"calibrate/mse": 0.3, "classify/auc": value}

    off = {"pretrain": {"enabled": False}}
    write_made_run(tmp_path, "grid_search", 0, numbers=auc(0.7))
    write_made_run(tmp_path, "grid_search", 0, numbers=auc(0.6), settings=off)
    write_made_run(tmp_path, "spos", 0, numbers=auc(0.75))
    write_made_run(tmp_path, "spos", 0, numbers=auc(0.5), settings=off)
    write_made_run(tmp_path, "spos", 1, numbers=auc(0.1))
    table = differences_table(collect([tmp_path])).table
    auc_rows = table[table["quantity"] == "AUC of classify"].set_index("method")
    assert auc_rows["median difference"].to_dict() == pytest.approx(
        {"spos pretrain=false": -0.1, "spos pretrain=true": 0.05}
    )
    assert list(auc_rows["pairs"]) == [1, 1]
