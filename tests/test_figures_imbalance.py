"""Figures of losses for rare events, and of two tasks and their weights, from made numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from drawn import check_drawn, large, runs_of, small
from made_imbalance import accuracies, class_balanced, near, write_tau_run, write_two_task_run

from msnas.plots.figures import class_balance, loss_comparison, multitask, pareto, v1_front
from msnas.plots.grammar import Bars, Chart, NothingToDraw, Points, Words
from msnas.results.runs import Runs

KEY = "tasks.tau_id.loss.one_minus_beta"
BETAS = (1.0, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 0.0)
SEEDS = range(5)


@pytest.fixture(scope="module")
def balance(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Five seeds at seven values, five YOTO runs, and one run with other settings."""
    place = tmp_path_factory.mktemp("balance")
    for seed in SEEDS:
        for number, beta in enumerate(BETAS):
            minor = 0.5 + 0.05 * number + 0.01 * seed
            write_tau_run(
                place, seed, class_balanced(beta), accuracies(minor, 0.99 - 0.02 * number)
            )
        curve = {
            beta: accuracies(0.5 + 0.05 * number + 0.01 * seed - 0.03 * (beta == 1e-4), 0.9)
            for number, beta in enumerate(BETAS)
            if 0 < beta < 1
        }
        write_tau_run(
            place,
            seed,
            class_balanced(1e-4),
            accuracies(0.6, 0.9),
            conditions={KEY: curve},
            seconds=30.0,
        )
    write_tau_run(place, 0, class_balanced(1e-4), accuracies(0.1, 0.99), fraction=0.01)
    return runs_of(place)


def test_accuracy_of_each_class_against_one_minus_beta(balance: Runs) -> None:
    chart = class_balance.chart(balance)
    assert [panel.y.label for panel in chart.panels] == [
        *("test accuracy of a class", "test balanced accuracy", "test AUC")
    ]
    fixed = large(chart, "minor class, n = 5").set_index("x")
    assert sorted(fixed.index) == sorted(BETAS)
    # seeds 0 to 4 at 1e-4 have 0.65 to 0.69: the interval of five runs is all of them
    assert fixed.loc[1e-4, ["low", "y", "high"]].tolist() == pytest.approx([0.65, 0.67, 0.69])
    once = large(chart, "minor class, YOTO, n = 5").set_index("x")["y"]
    assert once.to_dict() == pytest.approx(
        {1e-6: 0.77, 1e-5: 0.72, 1e-4: 0.64, 1e-3: 0.62, 1e-2: 0.57}
    )
    notes = " ".join(chart.notes)
    assert "minor class -0.030 (at 0.0001)" in notes
    assert "20 s at one value, 30 s with YOTO" in notes
    assert "1 run with other settings" in notes
    check_drawn(chart, balance.wide["key"])


def test_a_row_for_every_parameter_of_a_loss(tmp_path: Path) -> None:
    for gamma in (0.0, 1.0, 2.0):
        loss = {"_target_": "msnas.losses.focal.Focal", "gamma": gamma, "alpha": None}
        write_tau_run(tmp_path, 0, loss, accuracies(0.5 + 0.1 * gamma, 0.9))
    for beta in (1e-4, 0.0):
        write_tau_run(tmp_path, 0, class_balanced(beta), accuracies(0.7, 0.9))
    chart = class_balance.chart(runs_of(tmp_path))
    assert [panel.title for panel in chart.panels] == [
        *["focal loss of tau_id"] * 3,
        *["class balanced loss of tau_id"] * 3,
    ]
    assert chart.columns == 3
    focal = large(chart, "minor class")
    assert list(zip(focal["x"], focal["y"], strict=True)) == near([(0, 0.5), (1, 0.6), (2, 0.7)])


def test_yoto_alone_and_one_value_alone(tmp_path: Path) -> None:
    curve = {1e-4: accuracies(0.7, 0.9), 1e-2: accuracies(0.5, 0.95)}
    write_tau_run(
        tmp_path / "once", 0, class_balanced(1e-4), accuracies(0.7, 0.9), conditions={KEY: curve}
    )
    chart = class_balance.chart(runs_of(tmp_path / "once"))
    assert all("YOTO" in label for label in chart.legend())
    write_tau_run(tmp_path / "one", 0, class_balanced(1e-4), accuracies(0.7, 0.9))
    with pytest.raises(NothingToDraw, match="two values"):
        class_balance.chart(runs_of(tmp_path / "one"))


def losses_scan(place: Path) -> Runs:
    losses = {
        "BinaryCrossEntropy": {},
        "Focal": {"gamma": 2.0},
        "ClassBalanced": {"one_minus_beta": 1e-4},
    }
    for fraction in (0.1, 0.01):
        for number, (name, settings) in enumerate(losses.items()):
            for seed in range(3):
                write_tau_run(
                    place,
                    seed,
                    {"_target_": f"msnas.losses.made.{name}", **settings},
                    accuracies(0.3 + 0.2 * number + 0.01 * seed - fraction, 0.9),
                    fraction=fraction,
                )
    for seed in range(5):
        loss = {"_target_": "msnas.losses.made.ClassBalanced", "one_minus_beta": 1e-2}
        write_tau_run(place, seed, loss, accuracies(0.0, 1.0))
    return runs_of(place)


def test_losses_side_by_side_for_each_share_of_taus(tmp_path: Path) -> None:
    runs = losses_scan(tmp_path)
    chart = loss_comparison.chart(runs)
    assert [panel.title for panel in chart.panels[::3]] == [
        "1,800 + 200 training events (10 %)",
        "1,800 + 18 training events (0.99 %)",
    ]
    axis = chart.panels[0].x
    assert axis.ticks is not None
    assert list(axis.ticks(0, 2).values()) == ["binary\ncross\nentropy", "class\nbalanced", "focal"]
    for panel, fraction in ((0, 0.1), (3, 0.01)):
        minor = large(chart, "minor class, n = 3", panel)
        # class balanced stands before focal, and with the setting that both shares have
        assert minor["y"].tolist() == near([0.31 - fraction, 0.71 - fraction, 0.51 - fraction])
        assert minor["n"].tolist() == [3, 3, 3]
    notes = " ".join(chart.notes)
    assert "5 runs with other settings of a loss" in notes
    assert "class balanced (one_minus_beta 0.0001)" in notes
    check_drawn(chart, runs.wide["key"])


def test_one_loss_alone_is_no_comparison(tmp_path: Path) -> None:
    write_tau_run(tmp_path, 0, class_balanced(1e-4), accuracies(0.7, 0.9))
    with pytest.raises(NothingToDraw, match="two different losses"):
        loss_comparison.chart(runs_of(tmp_path))


JUDGED = (0.1, 0.5, 0.9)


def two_task_scan(place: Path) -> Runs:
    for seed in range(3):
        for weight in (0.0, 0.1, 0.5, 0.9, 1.0):
            auc = 0.5 if weight == 0 else 0.8 + 0.1 * weight + 0.01 * seed
            mse = 4.0 if weight == 1 else 0.1 + 0.1 * weight
            write_two_task_run(place, seed, weight, (auc, mse))
        conditions = {
            one: (0.8 + 0.1 * one + 0.01 * seed + 0.02, 0.1 + 0.1 * one) for one in JUDGED
        }
        write_two_task_run(place, seed, 0.5, (0.87, 0.15), conditions=conditions)
        mgda = {
            "_target_": "msnas.weighting.jacobian_descent.JacobianDescent",
            "aggregator": {"_target_": "torchjd.aggregation.MGDA"},
        }
        write_two_task_run(place, seed, None, (0.84, 0.12 + 0.01 * seed), weighting=mgda)
    uncertainty = {
        "_target_": "msnas.weighting.scalarized.Scalarized",
        "scalarizer": {"_target_": "torchjd.scalarization.UW"},
    }
    write_two_task_run(place, 0, 0.5, (0.83, 0.13), weighting=uncertainty)
    return runs_of(place)


def points(chart: Chart, label: str, panel: int = 0) -> list[tuple[float, ...]]:
    rows = large(chart, label, panel)
    return list(rows[["x", "y"]].itertuples(index=False, name=None))


def test_both_tasks_against_the_weight_of_the_first(tmp_path: Path) -> None:
    runs = two_task_scan(tmp_path)
    chart = multitask.chart(runs)
    auc, mse = chart.panels
    assert auc.y.label == "test AUC of tau_id (higher is better)"
    assert mse.y.label == "test MSE of calibration (lower is better)"
    # the task that is not trained, at 0 or 1, is not shown
    fixed = [(0.1, 0.82), (0.5, 0.86), (0.9, 0.9), (1.0, 0.91)]
    assert points(chart, "AUC of tau_id, n = 3") == near(fixed)
    assert points(chart, "AUC of tau_id, YOTO") == near([(0.1, 0.84), (0.5, 0.88), (0.9, 0.92)])
    assert 1.0 not in {x for x, _ in points(chart, "MSE of calibration, n = 3", panel=1)}
    assert multitask.NO_LOSS in chart.notes
    assert "AUC of tau_id +0.020" in " ".join(chart.notes)
    check_drawn(chart, runs.wide["key"])


def test_multitask_needs_layers_that_are_only_shared(tmp_path: Path) -> None:
    for weight in (0.1, 0.9):
        write_two_task_run(tmp_path, 0, weight, (0.8, 0.2), features=False)
    runs = runs_of(tmp_path)
    with pytest.raises(NothingToDraw, match="no task without a loss"):
        multitask.chart(runs)
    assert list(pareto.chart(runs).legend()) == ["fixed weights, n = 1"]


def test_one_task_against_the_other(tmp_path: Path) -> None:
    runs = two_task_scan(tmp_path)
    chart = pareto.chart(runs)
    (panel,) = chart.panels
    assert list(chart.legend()) == [
        *("fixed weights, n = 3", "YOTO, n = 3", "MGDA, n = 3", "UW, n = 1")
    ]
    assert points(chart, "fixed weights") == near([(0.82, 0.11), (0.86, 0.15), (0.9, 0.19)])
    assert points(chart, "MGDA") == near([(0.84, 0.13)])
    # weights 0 and 1 are far from the rest: apart, with their values told
    assert sorted(one.text for one in panel.beyond) == ["0.5", "4"]
    reach = [one.rows for one in panel.layers if "left" in one.rows]
    assert reach[0][["left", "right"]].iloc[2].tolist() == pytest.approx([0.85, 0.87])
    words = [one.rows["text"].tolist() for one in panel.layers if isinstance(one, Words)]
    assert words[0] == ["0", "1", "0.1", "0.5", "0.9"]  # the ends have the first choice
    assert len(small(chart)) > 15
    check_drawn(chart, runs.wide["key"])


@pytest.mark.parametrize("figure", [pareto, v1_front, multitask], ids=lambda one: one.__name__)
def test_figures_of_two_tasks_say_why_there_is_nothing(figure: Any, tmp_path: Path) -> None:
    write_two_task_run(tmp_path / "one", 0, 0.5, (0.8, 0.2))
    with pytest.raises(NothingToDraw, match=r"no two weights|range of v1|the same task weights"):
        figure.chart(runs_of(tmp_path / "one"))
    write_tau_run(tmp_path / "tau", 0, class_balanced(1e-4), accuracies(0.7, 0.9))
    with pytest.raises(NothingToDraw, match=r"two tasks|only shared"):
        figure.chart(runs_of(tmp_path / "tau"))


FRONT_OF_SEED = {0.1: (0.90, 0.5), 0.5: (0.89, 0.2), 0.9: (0.80, 0.1)}


def winner(v1: float, chain: str, regret: float) -> dict[str, Any]:
    selected = {"tau_id": chain, "calibration": "cnn"}
    return {"parameters": {"task_weight": v1}, "selected": selected, "regret": regret}


def v1_scan(
    place: Path, seeds: int = 3, test: dict[float, tuple[float, float]] | None = None
) -> Runs:
    """SPOS once for all v1 and at each; `test` are other test numbers of the former."""
    for seed in range(seeds):
        conditions = {
            v1: (auc + 0.001 * seed, mse + 0.01 * seed) for v1, (auc, mse) in FRONT_OF_SEED.items()
        }
        write_two_task_run(
            place,
            seed,
            0.5,
            conditions[0.5],
            conditions={v1: conditions[v1] for v1 in (0.5, 0.9, 0.1)},
            features=False,
            method="spos",
            winners=[
                winner(0.1, "mlp" if seed else "cnn", 0.002 * seed),
                winner(0.5, "cnn", 0.0),
                winner(0.9, "cnn", 0.0),
            ],
        )
        for v1, (auc, mse) in FRONT_OF_SEED.items():
            shift = 0.01 if v1 == 0.9 else 0.0
            both = (auc + 0.001 * seed - shift, mse + 0.01 * seed + 0.02)
            write_two_task_run(place, seed, v1, both, features=False, method="spos")
    write_two_task_run(place, 0, 0.5, (0.1, 9.0), features=False, method="darts")
    runs = runs_of(place)
    for run in runs.finished if test else []:
        for one in run.conditions:
            auc, mse = (test or {})[one["parameters"]["task_weight"]]
            one["test"] = {"tau_id/auc": auc, "calibration/mse": mse}
    return runs


def test_the_front_along_v1_its_knee_and_its_winners(tmp_path: Path) -> None:
    runs = v1_scan(tmp_path)
    chart = v1_front.chart(runs)
    # scaled, 1 best: AUC 1, .9, 0 and MSE 0, .75, 1
    assert chart.title.startswith("recommended $v_1$ = 0.5 (knee")
    assert points(chart, "one training for all") == near(
        [(1.001, 0.61), (0.991, 0.31), (0.901, 0.21)]
    )
    assert points(chart, "one training for each", panel=1) == near(
        [(0.901, 0.53), (0.891, 0.23), (0.791, 0.13)]  # not the one of another method
    )
    assert points(chart, "recommended") == near([(0.991, 0.31)])
    test_layers = [
        one for one in chart.panels[1].layers if isinstance(one, Points) and not one.loose
    ]
    assert all(one.hollow for one in test_layers)
    notes = " ".join(chart.notes)
    assert "0.5 (seed 0), 0.5 (seed 1), 0.5 (seed 2)" in notes
    assert "0.1: +0.0000, -0.0200; 0.5: +0.0000, -0.0200; 0.9: +0.0100, -0.0200" in notes
    winners = {
        one.label: [*zip(one.rows["x"], one.rows["base"], one.rows["y"], strict=True)]
        for one in chart.panels[2].layers
        if isinstance(one, Bars)
    }
    assert winners == {
        "cnn-cnn": [(0, 0, 1), (1, 0, 3), (2, 0, 3)],
        "mlp-cnn": [(0, 1, 3)],
    }
    (regrets,) = [one.rows for one in chart.panels[2].layers if isinstance(one, Words)]
    assert regrets["text"].tolist() == ["0.002", "0", "0"]
    check_drawn(chart, runs.wide["key"])


def test_validation_alone_recommends(tmp_path: Path) -> None:
    """Test numbers with another knee change nothing."""
    chart = v1_front.chart(v1_scan(tmp_path, seeds=1, test={v1: (0.5, 1 - v1) for v1 in JUDGED}))
    assert chart.title.startswith("recommended $v_1$ = 0.5 (knee")
    assert [y for _, y in points(chart, "one training for all", panel=1)] == near([0.9, 0.5, 0.1])
