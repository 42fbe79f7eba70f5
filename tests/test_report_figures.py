"""The figures of the paper and of the talk: what they show, from runs with made numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from drawn import check_drawn, large, runs_of, small
from made_scan import made_scan, write_made_run

from msnas.plots.chains import chains_of
from msnas.plots.figures import (
    fig2_reoptimisation,
    fig3_against_v1,
    fig5_selected,
    fig6_methods,
    talk_methods,
)
from msnas.plots.grammar import Chart, NothingToDraw, Violin, Words
from msnas.results.runs import Runs
from msnas.results.statistics import median_of

FIGURES = (fig2_reoptimisation, fig3_against_v1, fig5_selected, fig6_methods, talk_methods)


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return runs_of(made_scan(tmp_path_factory.mktemp("runs")))


@pytest.mark.parametrize("figure", FIGURES, ids=lambda one: one.__name__.split(".")[-1])
def test_a_figure_is_drawn_whole_and_its_points_lead_to_runs(figure: Any, scan: Runs) -> None:
    chart = figure.chart(scan)
    check_drawn(chart, scan.wide["key"])
    # the meaning of marks and bars, and how many runs there are, are told in the picture
    told = " ".join(chart.notes) + " ".join(chart.legend())
    assert "median" in told
    assert "n = " in told or any(isinstance(one, Words) for one in chart.panels[0].layers)


def violins(chart: Chart) -> dict[tuple[str, str], list[float]]:
    """The numbers of every violin, by column and kind; the words below tell how many."""
    (panel,) = chart.panels
    found = {
        (str(one.rows["column"].iloc[0]), one.label): one.rows["y"].tolist()
        for one in panel.layers
        if isinstance(one, Violin)
    }
    (counts,) = [one.rows["text"] for one in panel.layers if isinstance(one, Words)]
    assert counts.tolist() == [len(values) for values in found.values()]
    return found


def test_fig2_compares_chains_on_test_events_best_first(scan: Runs) -> None:
    chart = fig2_reoptimisation.chart(scan)
    assert chart.panels[0].y.label == "test AUC of classify"
    assert violins(chart) == {
        ("cnn-lstm", "with re-optimisation"): pytest.approx([0.81, 0.81]),
        ("mlp-mlp", "with re-optimisation"): pytest.approx([0.79, 0.79]),
        ("cnn-lstm", "without"): pytest.approx([0.76, 0.76]),
        ("mlp-mlp", "without"): pytest.approx([0.74, 0.74]),
    }
    assert list(chains_of(scan).order) == ["cnn-lstm", "mlp-mlp"]


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
    chart = fig2_reoptimisation.chart(runs_of(tmp_path))
    assert "= 0.1" in chart.title
    assert {kind: values for (_, kind), values in violins(chart).items()} == {
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
    runs = runs_of(tmp_path)
    chart = fig2_reoptimisation.chart(runs)
    assert chart.panels[0].y.label == "validation AUC of classify"
    assert list(chains_of(runs).order) == ["cnn-lstm", "mlp-lstm"]
    assert {column: values for (column, _), values in violins(chart).items()} == {
        "cnn-lstm": [0.9],
        "mlp-lstm": [0.7],
    }


def test_a_violin_needs_five_runs(scan: Runs) -> None:
    chart = talk_methods.chart(scan)
    bodies = {
        one.rows["column"].iloc[0]: one.body
        for one in chart.panels[0].layers
        if isinstance(one, Violin)
    }
    assert bodies == {"grid_search": False, "darts": False, "spos": True}
    assert list(bodies) == ["grid_search", "darts", "spos"]  # the fixed order of methods


def test_fig3_chooses_the_chain_by_the_weighted_loss(scan: Runs) -> None:
    chart = fig3_against_v1.chart(scan)
    labels = [f"{fig3_against_v1.WITH}, n = 2", f"{fig3_against_v1.WITHOUT}, n = 2"]
    assert list(chart.legend()) == labels
    # losses (0.4, 0.6) of cnn-lstm and (0.5, 0.4) of mlp-mlp: equal at v1 = 2/3
    plain = large(chart, fig3_against_v1.WITHOUT, panel=1).set_index("x")["y"]
    assert plain.to_dict() == pytest.approx({0.0: 0.74, 0.5: 0.74, 0.99: 0.76})
    # grid search, seeds 0 and 1
    best = large(chart, labels[0], panel=1).set_index("x")["y"]
    assert best.to_dict() == pytest.approx(
        {0.0: 0.8025, 0.5: 0.79625, 0.99: 0.8025 - 0.1 * 0.99**4}
    )


def test_fig6_has_a_curve_per_method_with_its_medians(scan: Runs) -> None:
    chart = fig6_methods.chart(scan)
    assert list(chart.legend()) == ["grid_search, n = 2", "darts, n = 2", "spos, n = 6"]
    assert [one.y.label for one in chart.panels] == [
        *("test MSE of calibrate", "test AUC of classify", "test validity (all variables)")
    ]
    spos = large(chart, "spos").iloc[0]
    expected = median_of([0.5 + 0.01 * seed for seed in range(6)])
    assert (spos["y"], spos["low"], spos["high"]) == pytest.approx(
        (expected.median, expected.low, expected.high)
    )
    assert len(small(chart)) == 3 * (6 + 2 + 2)
    darts = large(chart, "darts")
    assert "low" not in darts  # two runs have no interval
    assert chart.panels[2].limits("y") == (-0.04, 1.04)  # a share


def test_a_run_far_from_all_others_does_not_squash_them(tmp_path: Path) -> None:
    for seed, mse in enumerate((0.3, 0.31, 0.32, 9.7)):
        numbers = {"calibrate/mse": mse, "classify/auc": 0.8}
        write_made_run(tmp_path, "spos", seed, numbers=numbers)
    panel = fig6_methods.chart(runs_of(tmp_path)).panels[0]
    assert panel.limits("y")[1] < 1
    assert [one.text for one in panel.beyond] == ["9.7"]


def test_a_metric_that_no_loss_trained_is_not_drawn(tmp_path: Path) -> None:
    """At v1 = 1 nothing trains the last task; at v1 = 0 the last one's loss trains the first."""
    for v1 in (0.0, 0.5):
        write_made_run(tmp_path, "spos", 0, key=f"at{v1}", weights=(v1, 1 - v1))
    assert not any("no loss" in note for note in fig6_methods.chart(runs_of(tmp_path)).notes)
    write_made_run(tmp_path, "spos", 0, key="at1", weights=(1.0, 0.0))
    chart = fig6_methods.chart(runs_of(tmp_path))
    drawn = [large(chart, "spos", panel=panel)["x"].tolist() for panel in range(2)]
    assert drawn == [[0.0, 0.5, 1.0], [0.0, 0.5]]
    assert any(note.startswith("At v1 = 1 the last task has no loss") for note in chart.notes)


def test_runs_without_fixed_weights_are_a_line_across(tmp_path: Path) -> None:
    write_made_run(tmp_path, "spos", 0, weights=(0.5, 0.5))
    weighting = {"weighting": {"_target_": "msnas.weighting.gradnorm.GradNorm"}}
    write_made_run(tmp_path, "darts", 0, settings=weighting)
    chart = fig6_methods.chart(runs_of(tmp_path))
    assert large(chart, "spos")["x"].tolist() == [0.5]
    across = large(chart, "darts")
    assert (list(across), across["y"].tolist()) == (["y", "keys"], [0.3])
    selected = fig5_selected.chart(runs_of(tmp_path)).frame.dropna(subset="chain")
    assert selected.set_index("method")["v1"].to_dict() == {"spos": "0.5", "darts": "other"}


def test_one_training_lies_over_the_others(tmp_path: Path) -> None:
    write_made_run(tmp_path, "spos", 0)
    conditions = [
        {"parameters": {"task_weight": v1}, "test": {"classify/auc": 0.7}} for v1 in (0.001, 0.999)
    ]
    settings = {"conditioning": {"parameters": ["task_weight"]}}
    write_made_run(
        tmp_path, "spos", 0, key="yoto", settings=settings, result={"conditions": conditions}
    )
    for figure in (fig6_methods, fig3_against_v1):
        chart = figure.chart(runs_of(tmp_path))
        once = large(chart, "spos, one training (YOTO)", panel=len(chart.panels) - 1)
        assert list(once["x"]) == [0.001, 0.999]
        others = chart.frame[~chart.frame["label"].str.contains("YOTO")]
        assert "yoto" not in set(others["key"])
        check_drawn(chart, runs_of(tmp_path).wide["key"])


def test_fig5_counts_the_selected_chains(scan: Runs) -> None:
    chart = fig5_selected.chart(scan)
    assert [one.title for one in chart.panels] == ["grid_search", "darts", "spos"]
    frame = chart.frame.dropna(subset="chain")
    spos = frame[frame["method"] == "spos"]
    assert list(dict.fromkeys(frame["v1"])) == ["0", "0.5", "0.99"]
    height = spos.assign(height=spos["y"] - spos["base"]).set_index(["v1", "chain"])["height"]
    assert height["0.5"].to_dict() == pytest.approx({"cnn-lstm": 4 / 6, "mlp-lstm": 2 / 6})
    assert spos.groupby("v1")["y"].max().tolist() == pytest.approx([1, 1, 1])
    assert spos.groupby("v1")["n"].first().tolist() == [6, 6, 6]
    # best at the bottom, by the medians of those that selected a chain
    table = scan.wide[scan.wide["method"] != "fixed_chain"]
    medians = table.groupby("chain")["test/classify/auc"].median().sort_values(ascending=False)
    assert list(dict.fromkeys(spos["chain"])) == [
        one for one in medians.index if one in set(spos["chain"])
    ]


def test_fig5_takes_the_order_of_fig2_if_it_has_all_chains(tmp_path: Path) -> None:
    for chain, auc in ((("cnn", "lstm"), 0.7), (("mlp", "mlp"), 0.9)):
        numbers = {"calibrate/mse": 0.3, "classify/auc": auc}
        write_made_run(tmp_path, "spos", chain=chain, numbers={**numbers, "classify/auc": 1 - auc})
        write_made_run(
            tmp_path, "fixed_chain", chain=chain, of_method={"chain": list(chain)}, numbers=numbers
        )
    chart = fig5_selected.chart(runs_of(tmp_path))
    assert list(chart.legend()) == ["mlp-mlp", "cnn-lstm"]
    assert "median test AUC of classify of each chain" in chart.notes[0]
    assert chart.notes[1] == "Not shown: 2 runs of methods with a given chain."


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
    chart = talk_methods.chart(runs_of(tmp_path))
    assert violins(chart) == {
        ("spos", "with pre-training"): [0.8, 0.8],
        ("spos", "without"): [0.8, 0.8],
        ("end_to_end (v1 = 0)", "without"): [0.8, 0.8],
    }
    assert chart.notes[1:] == ["Not shown: 2 runs at other v1."]


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
    "weights that are not fixed": [
        {"settings": {"weighting": {"_target_": "made.Own"}}},
        {"weights": (0.5, 0.5), "seed": 1},
    ],
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
    runs = runs_of(tmp_path)
    drawn, reasons = [], []
    for figure in FIGURES:
        try:
            chart = figure.chart(runs)
        except NothingToDraw as nothing:
            reasons.append(str(nothing))
            continue
        check_drawn(chart, runs.wide["key"])
        drawn.append(figure)
    assert all(reasons)
    assert fig5_selected in drawn
    assert (talk_methods in drawn) == (case != "no number with a direction")
    assert (fig6_methods in drawn) == (case not in ("no number with a direction", "one task"))


def test_of_many_settings_the_rest_is_named(tmp_path: Path) -> None:
    for one in CASES["many long labels"]:
        write_made_run(tmp_path, **one)
    chart = fig6_methods.chart(runs_of(tmp_path))
    assert len(chart.legend()) == fig6_methods.MOST
    (left,) = [note for note in chart.notes if note.startswith("Not shown")]
    assert left.count("a_rather_long_setting") == 12 - fig6_methods.MOST
