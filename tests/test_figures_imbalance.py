"""Figures of rare taus, of two tasks on shared layers, and of the v1 axis in one training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from made_scan import write_made_run
from matplotlib.figure import Figure as Drawing
from matplotlib.text import Text

from msnas.report.collect import collect_runs
from msnas.report.conditioned_front import conditioned_front
from msnas.report.figure import Figure, NothingToDraw
from msnas.report.figures.class_balance import ClassBalance
from msnas.report.figures.loss_comparison import LossComparison
from msnas.report.figures.multitask import Multitask
from msnas.report.figures.pareto import FRONT, ONCE, Pareto
from msnas.report.figures.v1_front import FrontOfV1
from msnas.report.front import FrontPoint, knee, mean_front, recommended_v1
from msnas.report.gaps import largest_gap
from msnas.report.panels import Panels, Series
from msnas.report.parameter_axis import axis_of, names_axis, weight_axis
from msnas.report.scan import Scan
from msnas.report.style import save
from msnas.report.two_tasks import weighting_of
from msnas.report.v1_axis import v1_position

KEY = "tasks.tau_id.loss.one_minus_beta"
BETAS = (1.0, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 0.0)
SEEDS = range(5)
JUDGED = (0.1, 0.5, 0.9)


def near(rows: Sequence[tuple[float, ...]]) -> list[Any]:
    return [pytest.approx(row) for row in rows]


def scan_of(place: Path) -> Scan:
    return Scan(*collect_runs([place]))


def task(loss: Mapping[str, Any] | None, target: str = "label") -> dict[str, Any]:
    return {
        "loss": loss,
        "target": target,
        "output": {"_target_": "msnas.chain.output.Binary"},
        "metrics": {},
        "candidates": {"cnn": {"size": 8}, "mlp": {"size": 8}},
    }


def class_balanced(one_minus_beta: float) -> dict[str, Any]:
    return {
        "_target_": "msnas.losses.class_balanced.ClassBalanced",
        "one_minus_beta": one_minus_beta,
        "normalisation": "sum_to_classes",
    }


def accuracies(minor: float, major: float, auc: float = 0.9) -> dict[str, float]:
    return {
        "tau_id/auc": auc,
        "tau_id/minor_accuracy": minor,
        "tau_id/major_accuracy": major,
        "tau_id/balanced_accuracy": (minor + major) / 2,
    }


def write_tau_run(
    place: Path,
    seed: int,
    loss: Mapping[str, Any],
    numbers: Mapping[str, float],
    *,
    fraction: float = 0.1,
    conditions: Mapping[str, Mapping[float, Mapping[str, float]]] | None = None,
    seconds: float = 20.0,
) -> None:
    """A run of one task; `conditions` are test numbers by parameter and value."""
    told = [
        {"parameters": {name: value}, "valid": {}, "test": dict(test)}
        for name, values in (conditions or {}).items()
        for value, test in values.items()
    ]
    jets = 1800
    write_made_run(
        place,
        "fixed_chain",
        seed,
        problem="tau_vs_jet",
        tasks=["tau_id"],
        weights=[1.0],
        chain=["cnn"],
        numbers=numbers,
        losses=[1.0],
        settings={
            "tasks": {"tau_id": task(dict(loss))},
            "data": {
                "file": "gone.h5",
                "split_seed": 0,
                "tau_fraction": fraction,
                "thin": {"class": 1, "fraction": fraction},
            },
            **({"conditioning": {"parameters": list(conditions)}} if conditions else {}),
        },
        result={
            "data": {
                "events": 3000,
                "sha256": "0",
                "classes": {"train": {"0": jets, "1": round(jets * fraction / (1 - fraction))}},
            },
            "stages": {"posttrain": {"seconds": seconds, "epochs": {"tau_id/cnn": 10}}},
            **({"conditions": told, "winners": []} if conditions else {}),
        },
    )


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


TASKS = ("features", "tau_id", "calibration")


def write_two_task_run(
    place: Path,
    seed: int,
    weight: float | None,
    both: tuple[float, float],
    *,
    weighting: Mapping[str, Any] | None = None,
    conditions: Mapping[float, tuple[float, float]] | None = None,
    features: bool = True,
    winners: Sequence[Mapping[str, Any]] = (),
    method: str = "fixed_chain",
    valid: float = 0.1,
) -> None:
    """A run of two tasks, its numbers (AUC, MSE); those of validation are `valid` larger."""
    names = TASKS if features else TASKS[1:]
    losses = {"features": None, "tau_id": {"_target_": "a.A"}, "calibration": {"_target_": "a.B"}}

    def numbers(both: tuple[float, float], more: float = 0.0) -> dict[str, float]:
        return {"tau_id/auc": both[0] + more, "calibration/mse": both[1] + more}

    supervised = None if weight is None else {"tau_id": weight, "calibration": 1 - weight}
    told = [
        {
            "parameters": {"task_weight": value},
            "valid": numbers(one, valid),
            "test": numbers(one),
        }
        for value, one in (conditions or {}).items()
    ]
    write_made_run(
        place,
        method,
        seed,
        problem="two",
        tasks=names,
        weights=None,
        chain=["cnn"] * len(names),
        numbers=numbers(both),
        settings={
            "tasks": {name: task(losses[name]) for name in names},
            "weighting": dict(weighting or {"_target_": "msnas.weighting.fixed.Fixed"}),
            **({"conditioning": {"parameters": ["task_weight"]}} if conditions else {}),
        },
        result={
            "task_weights": supervised,
            "metrics": {"valid": {**numbers(both, valid), "loss": 1.0}, "test": numbers(both)},
            **({"conditions": told, "winners": list(winners)} if conditions else {}),
        },
    )


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


def front_of(*values: tuple[float, float, float]) -> list[FrontPoint]:
    return [FrontPoint(v1=v1, first=first, last=last) for v1, first, last in values]


LOW_HIGH = {"first_higher": False, "last_higher": True}


def test_the_knee_is_furthest_from_the_chord() -> None:
    # scaled, 1 best: MSE 5 to 1 is 0, .5, .75, 1; AUC .9 to .8 is 1, .9, .6, 0: sums 1, 1.4, 1.35
    front = front_of((0.1, 5, 0.90), (0.3, 3, 0.89), (0.6, 2, 0.86), (0.9, 1, 0.80))
    assert knee(front, **LOW_HIGH) == 0.3
    # axes in other units do not matter, nor does the order
    scaled = [FrontPoint(v1=one.v1, first=7 * one.first - 3, last=one.last / 9) for one in front]
    assert knee(scaled[::-1], **LOW_HIGH) == 0.3
    # with both directions turned round: the same
    turned = [FrontPoint(v1=one.v1, first=-one.first, last=-one.last) for one in front]
    assert knee(turned, first_higher=True, last_higher=False) == 0.3


def test_points_that_others_beat_do_not_stretch_the_front() -> None:
    front = front_of((0.1, 5, 0.90), (0.3, 3, 0.89), (0.6, 2, 0.86), (0.9, 1, 0.80))
    beaten = front_of((0.001, 50, 0.85), (0.999, 1.5, 0.2))
    assert knee([*front, *beaten], **LOW_HIGH) == 0.3


def test_degenerate_fronts_have_a_knee() -> None:
    assert knee(front_of((0.9, 1, 0.9)), **LOW_HIGH) == 0.9
    assert knee(front_of((0.1, 1, 0.9), (0.9, 2, 0.8)), **LOW_HIGH) == 0.1  # beats the other
    assert knee(front_of((0.2, 2, 0.9), (0.9, 1, 0.8)), **LOW_HIGH) == 0.2  # ends: nearest to .5
    straight = front_of((0.01, 3, 0.9), (0.4, 2, 0.8), (0.9, 1, 0.7))
    assert knee(straight, **LOW_HIGH) == 0.4
    bent_in = front_of((0.3, 3, 0.9), (0.5, 2.9, 0.71), (0.9, 1, 0.7))
    assert knee(bent_in, **LOW_HIGH) == 0.3
    with pytest.raises(ValueError, match="without a point"):
        knee([], **LOW_HIGH)


def test_the_mean_front_and_what_it_recommends() -> None:
    fronts = {
        1: front_of((0.1, 5, 0.90), (0.5, 2, 0.89), (0.9, 1, 0.80)),
        0: front_of((0.1, 3, 0.92), (0.5, 2.5, 0.86), (0.9, 1, 0.85), (0.99, 0.5, 0.5)),
    }
    mean = mean_front(list(fronts.values()))
    assert [(one.v1, one.first, one.last) for one in mean] == near(
        [(0.1, 4, 0.91), (0.5, 2.25, 0.875), (0.9, 1, 0.825)]
    )
    found = recommended_v1(fronts, **LOW_HIGH)
    # seed 0, scaled: 0 + 1, .2 + .857, .8 + .833, 1 + 0; mean: .583 + .588 is above 1
    assert dict(found.seeds) == {0: 0.9, 1: 0.5}
    assert found.mean == 0.5


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


def whole(drawing: Drawing) -> None:
    """No text of the figure is cut off, but for marks of an axis outside its limits."""
    renderer = drawing.canvas.get_renderer()  # type: ignore[attr-defined]
    drawing.draw(renderer)
    unseen = set()
    for axis in [axis for axes in drawing.axes for axis in (axes.xaxis, axes.yaxis)]:
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not low <= tick.get_loc() <= high:
                unseen |= {tick.label1, tick.label2}
    texts = [one for one in drawing.findobj(Text) if one.get_text() and one.get_visible()]
    assert len(texts) > 3
    for text in set(texts) - unseen:
        box = text.get_window_extent(renderer)
        assert min(box.x0, box.y0) > -1, text
        assert box.x1 < drawing.bbox.width + 1, text
        assert box.y1 < drawing.bbox.height + 1, text


@pytest.mark.parametrize(
    ("figure", "name"),
    [
        (ClassBalance(), "balance"),
        (LossComparison(), "losses"),
        (Multitask(), "two"),
        (Pareto(), "two"),
        (FrontOfV1(), "v1"),
    ],
    ids=lambda one: getattr(one, "name", one),
)
def test_a_figure_is_drawn_whole_and_its_points_lead_to_runs(
    figure: Figure[Any], name: str, balance: Scan, tmp_path: Path
) -> None:
    makers = {"losses": losses_scan, "two": two_task_scan, "v1": v1_scan}
    scan = balance if name == "balance" else makers[name](tmp_path)
    data = figure.data(scan)
    drawing = figure.draw(data)
    whole(drawing)
    png, pdf = save(drawing, tmp_path / figure.name)
    assert png.read_bytes()[:4] == b"\x89PNG"
    assert pdf.read_bytes()[:4] == b"%PDF"
    page = figure.interactive(data)
    keys = {key for trace in page.data for key in (trace.customdata or ()) if key}
    assert keys
    assert keys <= set(scan.table["key"])
