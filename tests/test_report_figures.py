"""The figures of the paper and of the talk: what they show, from runs with made numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import texts_inside
from made_scan import made_scan, write_made_run

from msnas.report.collect import collect_runs
from msnas.report.figure import Figure, NothingToDraw
from msnas.report.figures.fig2_reoptimisation import Reoptimisation
from msnas.report.figures.fig3_against_v1 import WITH, WITHOUT, ReoptimisationAgainstV1
from msnas.report.figures.fig5_selected import SelectedChains
from msnas.report.figures.fig6_methods import MethodsAgainstV1
from msnas.report.figures.talk_methods import Methods
from msnas.report.scan import Scan
from msnas.report.style import save
from msnas.results.statistics import median_of

FIGURES: list[Figure[Any]] = [
    Reoptimisation(),
    ReoptimisationAgainstV1(),
    SelectedChains(),
    MethodsAgainstV1(),
    Methods(),
]


def scan_of(place: Path) -> Scan:
    return Scan(*collect_runs([place]))


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    return scan_of(made_scan(tmp_path_factory.mktemp("runs")))


@pytest.mark.parametrize("figure", FIGURES, ids=lambda one: one.name)
def test_a_figure_is_drawn_whole_and_its_points_lead_to_runs(
    figure: Figure[Any], scan: Scan, tmp_path: Path
) -> None:
    data = figure.data(scan)
    drawing = figure.draw(data)
    texts_inside(drawing)
    png, pdf = save(drawing, tmp_path / figure.name)
    assert png.read_bytes()[:4] == b"\x89PNG"
    assert pdf.read_bytes()[:4] == b"%PDF"
    again = save(figure.draw(figure.data(scan)), tmp_path / "again")
    assert [path.read_bytes() for path in again] == [png.read_bytes(), pdf.read_bytes()]
    keys = {
        key
        for trace in figure.interactive(data).data
        if trace.customdata is not None
        for key in np.ravel(np.array(trace.customdata, dtype=object))
        if key
    }
    assert keys
    assert keys <= set(scan.table["key"])


def test_fig2_compares_chains_on_test_events_best_first(scan: Scan) -> None:
    data = Reoptimisation().data(scan)
    assert list(data.columns) == ["cnn-lstm", "mlp-mlp"]
    assert data.label == "test AUC of classify"
    values = {place: [one.value for one in points] for place, points in data.points.items()}
    assert values == {
        ("cnn-lstm", "with re-optimisation"): pytest.approx([0.81, 0.81]),
        ("cnn-lstm", "without"): pytest.approx([0.76, 0.76]),
        ("mlp-mlp", "with re-optimisation"): pytest.approx([0.79, 0.79]),
        ("mlp-mlp", "without"): pytest.approx([0.74, 0.74]),
    }


def test_fig2_takes_the_lowest_v1_and_no_run_twice(tmp_path: Path) -> None:
    for v1 in (0.5, 0.1):
        for reoptimise in (True, False):
            write_made_run(
                tmp_path,
                "fixed_chain",
                weights=(v1, 1 - v1),
                of_method={"chain": ["cnn", "lstm"], "reoptimise": reoptimise},
                numbers={"calibrate/mse": 0.3, "classify/auc": 0.8 - v1 * reoptimise},
            )
    data = Reoptimisation().data(scan_of(tmp_path))
    assert "= 0.1" in data.title
    assert {kind: [one.value for one in found] for (_, kind), found in data.points.items()} == {
        "with re-optimisation": [pytest.approx(0.7)],
        "without": [pytest.approx(0.8)],
    }


def test_fig2_shows_validation_numbers_of_grid_search_if_there_is_no_more(tmp_path: Path) -> None:
    chains = [
        {
            "stage": "search",
            "selected": {"calibrate": first, "classify": "lstm"},
            "valid": {"loss": 0.5, "classify/auc": value},
        }
        for first, value in (("mlp", 0.7), ("cnn", 0.9))
    ]
    write_made_run(tmp_path, "grid_search", result={"chains": chains})
    data = Reoptimisation().data(scan_of(tmp_path))
    assert data.label == "validation AUC of classify"
    assert list(data.columns) == ["cnn-lstm", "mlp-lstm"]


def test_a_violin_needs_five_runs(scan: Scan) -> None:
    data = Methods().data(scan)
    kinds = {trace.name for trace in Methods().interactive(data).data if trace.type == "violin"}
    assert kinds == {"spos, with pre-training"}
    (axis,) = Methods().draw(data).axes
    assert len(axis.collections) == 1 + 5 + 2  # body, five quantiles; two medians


def test_fig3_chooses_the_chain_by_the_weighted_loss(scan: Scan) -> None:
    data = ReoptimisationAgainstV1().data(scan)
    assert set(data.tables) == {WITH, WITHOUT}
    chosen = data.tables[WITHOUT].set_index(["seed", "v1"])["chain"]
    # losses (0.4, 0.6) of cnn-lstm and (0.5, 0.4) of mlp-mlp: equal at v1 = 2/3
    assert chosen.to_dict() == {
        (seed, v1): "cnn-lstm" if v1 > 2 / 3 else "mlp-mlp"
        for seed in (0, 1)
        for v1 in (0.0, 0.5, 0.99)
    }
    assert set(data.tables[WITH]["method"]) == {"grid_search"}


def test_fig6_has_a_curve_per_method_with_its_medians(scan: Scan) -> None:
    data = MethodsAgainstV1().data(scan)
    assert list(data.tables) == ["darts", "grid_search", "spos"]
    names = ["calibrate/mse", "classify/auc", "validity/joint"]
    assert [one.name for one in data.quantities] == names
    figure = MethodsAgainstV1().interactive(data)
    lines = [one for one in figure.data if one.name == "spos" and one.mode == "lines+markers"]
    expected = median_of([0.5 + 0.01 * seed for seed in range(6)])
    assert expected.high is not None
    assert lines[0].y[0] == pytest.approx(expected.median)
    assert lines[0].error_y.array[0] == pytest.approx(expected.high - expected.median)


def test_one_training_lies_over_the_others(tmp_path: Path) -> None:
    write_made_run(tmp_path, "spos", 0)
    conditions = [
        {"parameters": {"task_weight": v1}, "test": {"classify/auc": 0.7}} for v1 in (0.001, 0.999)
    ]
    settings = {"conditioning": {"parameters": ["task_weight"]}}
    write_made_run(
        tmp_path, "spos", 0, key="yoto", settings=settings, result={"conditions": conditions}
    )
    for figure in (MethodsAgainstV1(), ReoptimisationAgainstV1()):
        data = figure.data(scan_of(tmp_path))
        once = data.tables["spos, one training (YOTO)"]
        assert list(once["v1"]) == [0.001, 0.999]
        assert not any("yoto" in set(t["key"]) for n, t in data.tables.items() if "YOTO" not in n)
        texts_inside(figure.draw(data))


def test_fig5_counts_the_selected_chains(scan: Scan) -> None:
    data = SelectedChains().data(scan)
    assert list(data.runs) == ["darts", "grid_search", "spos"]
    assert list(data.weights) == ["0", "0.5", "0.99"]
    shares = data.shares("spos")
    assert shares.loc["0.5"].to_dict() == pytest.approx({"cnn-lstm": 4 / 6, "mlp-lstm": 2 / 6})
    assert shares.sum(axis=1).tolist() == pytest.approx([1, 1, 1])
    values = scan.table[scan.table["method"] != "fixed_chain"].groupby("chain")
    medians = values["test/classify/auc"].median()
    assert list(data.chains) == list(medians.sort_values(ascending=False).index)


def test_fig5_takes_the_order_of_fig2_if_it_has_all_chains(tmp_path: Path) -> None:
    for chain, auc in ((("cnn", "lstm"), 0.7), (("mlp", "mlp"), 0.9)):
        numbers = {"calibrate/mse": 0.3, "classify/auc": auc}
        write_made_run(tmp_path, "spos", chain=chain, numbers={**numbers, "classify/auc": 1 - auc})
        write_made_run(
            tmp_path, "fixed_chain", chain=chain, of_method={"chain": list(chain)}, numbers=numbers
        )
    data = SelectedChains().data(scan_of(tmp_path))
    assert list(data.chains) == ["mlp-mlp", "cnn-lstm"]
    assert "median test AUC of classify of each chain" in data.order


def test_talk_tells_pre_training_and_never_mixes_v1(tmp_path: Path) -> None:
    stages: dict[str, Any] = {"stages": {"search": {"seconds": 1.0, "epochs": {}}}}
    for seed in range(2):
        for v1, auc in ((0.5, 0.8), (0.9, 0.1)):
            numbers = {"calibrate/mse": 0.3, "classify/auc": auc}
            write_made_run(tmp_path, "spos", seed, weights=(v1, 1 - v1), numbers=numbers)
        write_made_run(
            tmp_path, "spos", seed, settings={"pretrain": {"enabled": False}}, result=stages
        )
        write_made_run(tmp_path, "end_to_end", seed, weights=(0.0, 1.0), result=stages)
    data = Methods().data(scan_of(tmp_path))
    counts = {place: [one.value for one in points] for place, points in data.points.items()}
    assert counts == {
        ("end_to_end (v1 = 0)", "without"): [0.8, 0.8],
        ("spos", "with pre-training"): [0.8, 0.8],
        ("spos", "without"): [0.8, 0.8],
    }
    assert list(data.notes) == ["Not shown: 2 runs at other v1."]


CASES: dict[str, list[dict[str, Any]]] = {
    "a single run": [{}],
    "no validity, one v1": [{"seed": seed} for seed in range(5)],
    "one task": [
        {
            "tasks": ("direct",),
            "weights": (1.0,),
            "chain": ("cnn",),
            "numbers": {"direct/auc": 0.8},
            "losses": (1.0,),
        }
    ],
    "three tasks": [
        {
            "tasks": ("a", "b", "c"),
            "weights": weights,
            "chain": ("cnn", "mlp", "cnn"),
            "numbers": {"a/mse": 0.1, "c/auc": 0.9},
            "losses": (1.0, 1.0, 1.0),
        }
        for weights in ((0.2, 0.4, 0.4), (0.4, 0.3, 0.3))
    ],
    "weights that are not fixed": [{"weights": None}, {"weights": (0.5, 0.5), "seed": 1}],
    "equal values": [{"seed": seed} for seed in range(6)],
    "no number with a direction": [{"numbers": {"classify/bias": {"x": 0.1}}}],
    "many long labels": [
        {"of_method": {"a_rather_long_setting": f"value number {number}"}} for number in range(12)
    ],
}


@pytest.mark.parametrize("case", CASES)
def test_few_or_odd_runs_still_make_sense(case: str, tmp_path: Path) -> None:
    for one in CASES[case]:
        write_made_run(tmp_path, **one)
    scan = scan_of(tmp_path)
    drawn, reasons = [], []
    for figure in FIGURES:
        try:
            data = figure.data(scan)
        except NothingToDraw as nothing:
            reasons.append(str(nothing))
            continue
        texts_inside(figure.draw(data))
        figure.interactive(data)
        drawn.append(figure.name)
    assert all(reasons)
    assert "fig5_selected" in drawn
    assert ("talk_methods" in drawn) == (case != "no number with a direction")
    assert ("fig6_methods" in drawn) == (case not in ("no number with a direction", "one task"))
