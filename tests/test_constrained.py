"""The v1 to recommend, by made validation events whose answer is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from drawn import check_drawn, large, texts_inside
from made_honesty import LABEL, At, arrays_at, write_honest_run
from made_scan import write_made_run
from sklearn.metrics import roc_auc_score

from msnas.compare.__main__ import main as compare_main
from msnas.errors import ConfigError, DataError
from msnas.plots.figures import honesty_v1
from msnas.plots.figures import interventions as interventions_figure
from msnas.plots.grammar import NothingToDraw
from msnas.plots.page import interactive
from msnas.plots.paper import draw
from msnas.report.honest import honesty_tables_of
from msnas.results.constrained import (
    Bounds,
    Counts,
    Recommended,
    Seen,
    _auc,
    read_seen,
    recommendations,
)
from msnas.results.runs import collect

AXIS = {
    0.1: At(power=1.5, valid=0.7),  # the best, but no taus any more
    0.3: At(power=1.4, leaks=0.3),  # the next best tells the label in another way
    0.5: At(power=1.2),
    0.9: At(power=0.8),
}


def recommended(place: Path, bounds: Bounds | None = None) -> Recommended:
    (found,) = recommendations(collect([place]).finished, bounds or Bounds())
    return found


def test_an_area_of_events_that_count_several_times() -> None:
    generator = np.random.default_rng(0)
    score = generator.integers(6, size=300).astype(float)  # many are equal
    truth = generator.integers(2, size=300)
    counts = generator.integers(4, size=(3, 300))
    found = _auc(Seen(truth=truth, score=score, loss=score), Counts(counts, counts.T))
    expected = [roc_auc_score(truth, score, sample_weight=one) for one in counts]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_best_v1_that_is_honest_is_recommended(tmp_path: Path) -> None:
    write_honest_run(tmp_path, AXIS)
    found = recommended(tmp_path)
    assert found.v1 == 0.5
    assert [one.refused for one in found.candidates] == [["validity"], ["leakage"], [], []]
    assert found.candidates[2].share == 1
    assert found.none == 0
    assert found.quantity == "AUC of classify"
    expected = roc_auc_score(LABEL, arrays_at(AXIS)["score"][2])
    assert found.candidates[2].value == pytest.approx(expected)
    assert found.candidates[0].validity == pytest.approx(0.7)
    leaking = found.candidates[1]
    assert leaking.leakage == pytest.approx(0.3)
    assert leaking.low is not None
    assert leaking.low == pytest.approx(0.3 - 1.96 / 1000**0.5, abs=0.01)


def test_other_bounds_allow_others_or_none(tmp_path: Path) -> None:
    write_honest_run(tmp_path, AXIS)
    assert recommended(tmp_path, Bounds(leakage=0.25)).v1 == 0.3
    assert recommended(tmp_path, Bounds(validity=0.6)).v1 == 0.1
    write_honest_run(tmp_path / "b", {0.2: At(power=1, valid=0.9), 0.8: At(power=1, valid=0.8)})
    none = recommended(tmp_path / "b")
    assert none.v1 is None
    assert none.none == 1
    for wrong in ({"validity": 1.5}, {"leakage": -0.1}):
        with pytest.raises(ConfigError, match="expected a number from 0 to 1"):
            Bounds(**wrong)


def test_a_scan_of_several_seeds_is_the_same_as_trainings_for_all_v1(tmp_path: Path) -> None:
    for seed in range(3):
        write_honest_run(tmp_path / "once", AXIS, seed=seed, events_seed=seed)
        noise = arrays_at(AXIS, seed=seed)
        for place, (v1, at) in enumerate(AXIS.items()):
            directory = write_honest_run(tmp_path / "scan", {v1: at}, seed=seed)
            with h5py.File(directory / "honesty.h5", "r+") as file:
                for name, values in noise.items():
                    if name != "truth":
                        file[name][0] = values[place]
    scan, once = recommended(tmp_path / "scan"), recommended(tmp_path / "once")
    assert scan.candidates == once.candidates
    assert scan.seeds == once.seeds == 3
    assert scan.v1 == 0.5


def test_shares_tell_how_sure_the_choice_is(tmp_path: Path) -> None:
    """Two v1 of equal power: of independent noise a toss, of the same noise never a question."""
    close = {0.2: At(power=1.0), 0.8: At(power=1.0)}
    for seed in range(4):
        write_honest_run(tmp_path / "paired", close, seed=seed, events_seed=seed)
        directory = write_honest_run(tmp_path / "apart", close, seed=seed, events_seed=seed)
        with h5py.File(directory / "honesty.h5", "r+") as file:
            noise = np.random.default_rng(100 + seed).normal(size=len(LABEL))
            file["score"][2] = LABEL + noise
    apart = [one.share for one in recommended(tmp_path / "apart").candidates]
    assert sum(apart) == pytest.approx(1)
    assert min(apart) > 0.02
    # events are drawn together: a little better in every event is better in every resampling
    better = {0.2: At(power=1.0), 0.8: At(power=1.02)}
    write_honest_run(tmp_path / "little", better)
    assert [one.share for one in recommended(tmp_path / "little").candidates] == [0, 1]


def test_another_metric_is_judged_by_the_loss(tmp_path: Path) -> None:
    numbers = {"calibrate/mse": 0.3, "classify/mse": 0.2}
    write_honest_run(tmp_path, AXIS, numbers=numbers)
    found = recommended(tmp_path)
    assert found.quantity == "loss of classify"
    assert found.v1 == 0.5
    assert found.candidates[2].value == pytest.approx(-0.2, abs=0.02)


def _short(file: h5py.File) -> None:
    short = file["loss"][:, :-1]
    del file["loss"]
    file["loss"] = short


def _nan(file: h5py.File) -> None:
    file["score"][0, 0] = np.nan


def _key(file: h5py.File) -> None:
    file.attrs["key"] = "other"


def _points(file: h5py.File) -> None:
    few = file["loss"][:2]
    del file["loss"]
    file["loss"] = few


def _truth(file: h5py.File) -> None:
    del file["truth"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_short, "loss: expected finite numbers"),
        (_nan, "score: expected finite numbers"),
        (_key, "is of run other"),
        (_points, "loss: expected finite numbers"),
        (_truth, "expected truth and loss"),
    ],
)
def test_files_that_do_not_fit_are_refused_and_left_out(
    tmp_path: Path, spoil: Callable[[h5py.File], None], message: str
) -> None:
    directory = write_honest_run(tmp_path, AXIS)
    (run,) = collect([tmp_path]).finished
    assert len(read_seen(run)) == 5
    with h5py.File(directory / "honesty.h5", "r+") as file:
        spoil(file)
    with pytest.raises(DataError, match=message):
        read_seen(run)
    assert recommendations([run], Bounds()) == []


def test_the_tables_of_a_report(tmp_path: Path) -> None:
    for seed in range(2):
        write_honest_run(tmp_path, AXIS, seed=seed)
    runs = collect([tmp_path])
    found = {one.name: one.table for one in honesty_tables_of(runs, [recommended(tmp_path)])}
    table = found["recommended"]
    assert table["best"].tolist() == ["", "", "yes", ""]
    assert table["misses"].tolist() == ["validity", "leakage", "", ""]
    assert table["chosen"].sum() == 1
    worth = found["interventions"].set_index("truth of")
    assert worth.loc["calibrate", "difference"] == pytest.approx(0.2)
    assert worth.loc["pT", "runs"] == 2
    assert found["leakage"]["leakage"].tolist() == [0.1]


def test_the_figure_against_v1_and_its_bounds(tmp_path: Path) -> None:
    write_honest_run(tmp_path, AXIS)
    runs = collect([tmp_path])
    chart = honesty_v1.chart(runs)
    assert chart.title == (
        "spos, one training (YOTO): recommended $v_1$ = 0.5 (100 % of resamplings)"
    )
    assert [panel.y.label for panel in chart.panels] == [
        "validation AUC of classify",
        "joint validity",
        "leakage",
        "share of resamplings",
    ]
    (star,) = (one for one in chart.panels[0].layers if one.look == honesty_v1.STAR)
    assert star.rows["x"].tolist() == [0.5]
    assert large(chart, "spos", panel=1)["y"].tolist() == pytest.approx([0.7, 1, 1, 1])
    texts_inside(draw(chart))
    assert "misses validity" in str(interactive(chart))
    write_made_run(tmp_path / "without")
    with pytest.raises(NothingToDraw, match="several v1"):
        honesty_v1.chart(collect([tmp_path / "without"]))


def test_the_figure_of_interventions(tmp_path: Path) -> None:
    for v1 in (0.1, 0.5):
        write_honest_run(tmp_path, {v1: AXIS[v1]})
    runs = collect([tmp_path])
    chart = interventions_figure.chart(runs)
    for label in ("spos, $v_1$ = 0.1", "spos, $v_1$ = 0.5"):
        assert large(chart, label)["y"].tolist() == pytest.approx([0.7, 0.8, 0.9])
        worth = large(chart, label, panel=1)
        assert dict(zip(worth["told"], worth["y"], strict=True)) == pytest.approx(
            {"pT": 0.1, "tau 1": 0.05, "calibrate": 0.2}
        )
        assert (worth["high"] - worth["low"]).tolist() == pytest.approx([0.02] * 3)
    check_drawn(chart, runs.wide["key"])
    write_made_run(tmp_path / "without")
    with pytest.raises(NothingToDraw, match="could replace"):
        interventions_figure.chart(collect([tmp_path / "without"]))


def test_the_comparison_recommends_a_v1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_honest_run(tmp_path / "runs", AXIS)
    words = [f"runs=[{tmp_path / 'runs'}]", f"out={tmp_path / 'out'}"]
    compare_main([*words, "leakage=0.25"])
    (told,) = json.loads((tmp_path / "out" / "compare.json").read_text())["recommended"]
    assert told["v1"] == 0.3
    assert told["bounds"] == {"validity": 0.95, "leakage": 0.25}
    assert [one["refused"] for one in told["candidates"]] == [["validity"], [], [], []]
    assert "The v1 to recommend" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="validity: expected a number from 0 to 1, found 2"):
        compare_main([*words, "validity=2"])
