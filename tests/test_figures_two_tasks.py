"""Figures of two tasks and their weights: what they show, from runs with made numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_imbalance import (
    accuracies,
    check_drawn,
    class_balanced,
    near,
    scan_of,
    write_tau_run,
    write_two_task_run,
)
from matplotlib.text import Text

from msnas.report.conditioned_front import conditioned_front
from msnas.report.figure import Figure, NothingToDraw
from msnas.report.figures.multitask import Multitask
from msnas.report.figures.pareto import FRONT, ONCE, Pareto
from msnas.report.figures.v1_front import FrontOfV1
from msnas.report.panels import Panels, Series
from msnas.report.scan import Scan
from msnas.report.two_tasks import weighting_of

JUDGED = (0.1, 0.5, 0.9)


def two_task_scan(place: Path) -> Scan:
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
    uncertainty = {"_target_": "msnas.weighting.uncertainty.Uncertainty"}
    write_two_task_run(place, 0, 0.5, (0.83, 0.13), weighting=uncertainty)
    return scan_of(place)


def series_of(data: Panels, label: str, *, once: bool) -> Series:
    (found,) = [
        one for panel in data.all for one in panel.series if (one.label, one.once) == (label, once)
    ]
    return found


def test_both_tasks_against_the_weight_of_the_first(tmp_path: Path) -> None:
    data = Multitask().data(two_task_scan(tmp_path))
    assert [panel.label for panel in data.all] == ["test AUC of tau_id", "test MSE of calibration"]
    fixed = series_of(data, "AUC of tau_id", once=False)
    assert [(one, median.median) for one, median in fixed.medians()] == near(
        [(0.0, 0.5), (0.1, 0.82), (0.5, 0.86), (0.9, 0.9), (1.0, 0.91)]
    )
    once = series_of(data, "AUC of tau_id", once=True)
    assert [(one, median.median) for one, median in once.medians()] == near(
        [(0.1, 0.84), (0.5, 0.88), (0.9, 0.92)]
    )
    low, high = data.all[1].limits or (0, 0)
    assert low < 0.11 < 0.19 < high < 1  # the untrained task at weight 1 has 4
    notes = " ".join(data.notes)
    assert "Beyond the axis at weight 1: MSE of calibration 4 to 4." in notes
    assert "AUC of tau_id +0.020" in notes


def test_multitask_needs_layers_that_are_only_shared(tmp_path: Path) -> None:
    for weight in (0.1, 0.9):
        write_two_task_run(tmp_path, 0, weight, (0.8, 0.2), features=False)
    scan = scan_of(tmp_path)
    with pytest.raises(NothingToDraw, match="no task without a loss"):
        Multitask().data(scan)
    assert [one.label for one in Pareto().data(scan).series] == [FRONT]


def test_one_task_against_the_other(tmp_path: Path) -> None:
    data = Pareto().data(two_task_scan(tmp_path))
    assert [(one.label, one.joined, len(one.places)) for one in data.series] == [
        (FRONT, True, 15),
        (ONCE, True, 9),
        ("MGDA", False, 3),
        ("Uncertainty", False, 1),
    ]
    front = {one.weight: (one.first, one.last) for one in data.series[0].medians()}
    assert front[0.5] == pytest.approx((0.86, 0.15))
    mgda = data.series[2].medians()
    assert [(one.weight, one.first, one.last) for one in mgda] == [
        (None, pytest.approx(0.84), pytest.approx(0.13))
    ]
    assert any("fixed weights at 1" in note for note in data.notes)


def test_a_weighting_is_called_by_its_class_or_aggregator(tmp_path: Path) -> None:
    runs = two_task_scan(tmp_path).runs
    assert {weighting_of(run) for run in runs} == {"Fixed", "MGDA", "Uncertainty"}


@pytest.mark.parametrize("figure", [Pareto(), FrontOfV1(), Multitask()], ids=lambda one: one.name)
def test_figures_of_two_tasks_say_why_there_is_nothing(figure: Figure[Any], tmp_path: Path) -> None:
    write_two_task_run(tmp_path / "one", 0, 0.5, (0.8, 0.2))
    with pytest.raises(NothingToDraw, match=r"no two weights|range of v1"):
        figure.data(scan_of(tmp_path / "one"))
    write_tau_run(tmp_path / "tau", 0, class_balanced(1e-4), accuracies(0.7, 0.9))
    with pytest.raises(NothingToDraw, match=r"two tasks|only shared"):
        figure.data(scan_of(tmp_path / "tau"))


FRONT_OF_SEED = {0.1: (0.90, 0.5), 0.5: (0.89, 0.2), 0.9: (0.80, 0.1)}


def winner(v1: float, chain: str, regret: float) -> dict[str, Any]:
    selected = {"tau_id": chain, "calibration": "cnn"}
    return {"parameters": {"task_weight": v1}, "selected": selected, "regret": regret}


def v1_scan(place: Path, seeds: int = 3) -> Scan:
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
    return scan_of(place)


def test_the_front_along_v1_its_knee_and_its_winners(tmp_path: Path) -> None:
    data = conditioned_front(v1_scan(tmp_path).runs)
    # scaled, 1 best: AUC 1, .9, 0 and MSE 0, .75, 1
    assert dict(data.recommended.seeds) == {0: 0.5, 1: 0.5, 2: 0.5}
    assert data.recommended.mean == 0.5
    valid = [(one.v1, one.first, one.last) for one in data.mean("valid")]
    assert valid == near([(0.1, 1.001, 0.61), (0.5, 0.991, 0.31), (0.9, 0.901, 0.21)])
    assert len(data.fixed["test"]) == 9  # not the one of another method
    differences = [(one.v1, one.first, one.last) for one in data.differences("test")]
    assert differences == near([(0.1, 0, -0.02), (0.5, 0, -0.02), (0.9, 0.01, -0.02)])
    assert [dict(one.chains) for one in data.winners] == [
        {"cnn → cnn": 1, "mlp → cnn": 2},
        {"cnn → cnn": 3},
        {"cnn → cnn": 3},
    ]
    assert list(data.winners[0].regrets) == [0.0, 0.002, 0.004]


def test_validation_alone_recommends(tmp_path: Path) -> None:
    """Test numbers with another knee change nothing."""
    scan = v1_scan(tmp_path, seeds=1)
    run = next(run for run in scan.runs if run.result.get("conditions"))
    for one in run.result["conditions"]:
        one["test"] = {"tau_id/auc": 0.5, "calibration/mse": 1 - one["parameters"]["task_weight"]}
    data = conditioned_front(scan.runs)
    assert data.recommended.mean == 0.5
    assert [one.last for one in data.mean("test")] == pytest.approx([0.9, 0.5, 0.1])


def test_the_figure_states_the_recommended_v1(tmp_path: Path) -> None:
    figure = FrontOfV1()
    drawing = figure.draw(figure.data(v1_scan(tmp_path)))
    texts = " ".join(text.get_text() for text in drawing.findobj(Text))
    texts = " ".join(texts.split())
    assert "recommended $v_1$ = 0.5" in texts
    assert "0.5 (seed 0), 0.5 (seed 1), 0.5 (seed 2)" in texts
    assert "0.9: +0.0100, -0.0200" in texts


@pytest.mark.parametrize("figure", [Multitask(), Pareto(), FrontOfV1()], ids=lambda one: one.name)
def test_a_figure_is_drawn_whole(figure: Figure[Any], tmp_path: Path) -> None:
    scan = v1_scan(tmp_path) if figure.name == "v1_front" else two_task_scan(tmp_path)
    check_drawn(figure, scan, tmp_path)
