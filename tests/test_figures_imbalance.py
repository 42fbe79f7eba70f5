"""Figures of losses for rare events: what they show, from runs with made numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_imbalance import (
    accuracies,
    check_drawn,
    class_balanced,
    near,
    scan_of,
    write_tau_run,
)

from msnas.report.figure import NothingToDraw
from msnas.report.figures.class_balance import ClassBalance
from msnas.report.figures.loss_comparison import LossComparison
from msnas.report.gaps import largest_gap
from msnas.report.panels import Panels, Series
from msnas.report.parameter_axis import axis_of, names_axis, weight_axis
from msnas.report.scan import Scan
from msnas.report.v1_axis import v1_position

KEY = "tasks.tau_id.loss.one_minus_beta"
BETAS = (1.0, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 0.0)
SEEDS = range(5)


@pytest.fixture(scope="module")
def balance(tmp_path_factory: pytest.TempPathFactory) -> Scan:
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
    return scan_of(place)


def series_of(data: Panels, label: str, *, once: bool) -> Series:
    (found,) = [
        one for panel in data.all for one in panel.series if (one.label, one.once) == (label, once)
    ]
    return found


def test_accuracy_of_each_class_against_one_minus_beta(balance: Scan) -> None:
    data = ClassBalance().data(balance)
    assert [panel.label for panel in data.all] == [
        "test accuracy of a class",
        "test balanced accuracy",
        "test AUC",
    ]
    fixed = series_of(data, "minor class", once=False)
    medians = dict(fixed.medians())
    assert sorted(medians) == sorted(BETAS)
    # seeds 0 to 4 at 1e-4 have 0.65 to 0.69: the interval of five runs is all of them
    assert (medians[1e-4].low, medians[1e-4].median, medians[1e-4].high) == pytest.approx(
        (0.65, 0.67, 0.69)
    )
    once = series_of(data, "minor class", once=True)
    assert [parameter for parameter, _ in once.medians()] == [1e-6, 1e-5, 1e-4, 1e-3, 1e-2]
    assert largest_gap(fixed, once) == (1e-4, pytest.approx(-0.03))
    notes = " ".join(data.notes)
    assert "minor class -0.030 (at 0.0001)" in notes
    assert "20 s at one value, 30 s with YOTO" in notes
    assert "1 run with other settings" in notes


def test_a_row_for_every_parameter_of_a_loss(tmp_path: Path) -> None:
    for gamma in (0.0, 1.0, 2.0):
        loss = {"_target_": "msnas.losses.focal.Focal", "gamma": gamma, "alpha": None}
        write_tau_run(tmp_path, 0, loss, accuracies(0.5 + 0.1 * gamma, 0.9))
    for beta in (1e-4, 0.0):
        write_tau_run(tmp_path, 0, class_balanced(beta), accuracies(0.7, 0.9))
    data = ClassBalance().data(scan_of(tmp_path))
    assert [row[0].title for row in data.rows] == [
        "focal loss of tau_id",
        "class balanced loss of tau_id",
    ]
    focal = data.rows[0][0].series[0]
    assert [(one.parameter, one.number) for one in focal.values] == near(
        [(0.0, 0.5), (1.0, 0.6), (2.0, 0.7)]
    )


def test_yoto_alone_and_one_value_alone(tmp_path: Path) -> None:
    curve = {1e-4: accuracies(0.7, 0.9), 1e-2: accuracies(0.5, 0.95)}
    write_tau_run(
        tmp_path / "once", 0, class_balanced(1e-4), accuracies(0.7, 0.9), conditions={KEY: curve}
    )
    scan = scan_of(tmp_path / "once")
    assert ClassBalance().data(scan).kinds == [True]
    write_tau_run(tmp_path / "one", 0, class_balanced(1e-4), accuracies(0.7, 0.9))
    with pytest.raises(NothingToDraw, match="two values"):
        ClassBalance().data(scan_of(tmp_path / "one"))


def test_the_axis_of_one_minus_beta_has_a_place_for_zero_and_names_the_limits() -> None:
    axis = axis_of("one_minus_beta", sorted(BETAS))
    assert [axis.position(value) for value in (1.0, 1e-2, 1e-6)] == pytest.approx([0, -2, -6])
    assert axis.position(0.0) == -7.5
    ticks = dict(zip(axis.page["tickvals"], axis.page["ticktext"], strict=True))
    assert ticks[0.0] == "1<br>CE"
    assert ticks[-7.5] == "0<br>ICE"
    assert ticks[-4.0] == "10<sup>-4</sup>"
    assert axis.words(0.0) == "0 (ICE)"
    without = axis_of("one_minus_beta", [1e-4, 1e-2])
    assert "ICE" not in " ".join(without.page["ticktext"])


def test_other_axes_are_linear_or_that_of_v1() -> None:
    assert axis_of("gamma", [0, 0.5, 1, 2, 5]).position(2.0) == 2.0
    assert weight_axis([0, 0.1, 0.5, 1]).position(0.1) == 0.1
    assert weight_axis([0.01, 0.5]).position(0.01) == pytest.approx(float(v1_position(0.01)))
    assert names_axis(["a\nb"]).page["ticktext"] == ["a<br>b"]


def losses_scan(place: Path) -> Scan:
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
    return scan_of(place)


def test_losses_side_by_side_for_each_share_of_taus(tmp_path: Path) -> None:
    data = LossComparison().data(losses_scan(tmp_path))
    assert [row[0].title for row in data.rows] == [
        "1,800 + 200 training events (10 %)",
        "1,800 + 18 training events (0.99 %)",
    ]
    assert data.rows[0][0].axis.page["ticktext"] == [
        "binary<br>cross<br>entropy",
        "class<br>balanced",
        "focal",
    ]
    for row, fraction in zip(data.rows, (0.1, 0.01), strict=True):
        minor = next(one for one in row[0].series if one.label == "minor class")
        # class balanced stands before focal, and with the setting that both shares have
        assert [median.median for _, median in minor.medians()] == pytest.approx(
            [0.31 - fraction, 0.71 - fraction, 0.51 - fraction]
        )
        assert all(median.count == 3 for _, median in minor.medians())
    notes = " ".join(data.notes)
    assert "5 runs with other settings of a loss" in notes
    assert "class balanced (one_minus_beta 0.0001)" in notes


def test_one_loss_alone_is_no_comparison(tmp_path: Path) -> None:
    write_tau_run(tmp_path, 0, class_balanced(1e-4), accuracies(0.7, 0.9))
    with pytest.raises(NothingToDraw, match="two different losses"):
        LossComparison().data(scan_of(tmp_path))


def test_both_figures_are_drawn_whole(balance: Scan, tmp_path: Path) -> None:
    check_drawn(ClassBalance(), balance, tmp_path)
    check_drawn(LossComparison(), losses_scan(tmp_path), tmp_path)
