"""Figures of single runs: trajectories, scaling, images, ROC, scores, masses, responses."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import plotly.graph_objects as go
import pytest
import torch
import yaml
from drawn import check_drawn, large, runs_of, small
from sklearn import metrics

from msnas.candidates.mass import invariant_mass
from msnas.momentum import encode_pt
from msnas.plots.choose import best_on_validation, choose, with_outputs
from msnas.plots.figures import (
    ditau_mass,
    fig4_trajectories,
    fig7_scaling,
    fig8_images,
    response,
    roc,
    score,
)
from msnas.plots.grammar import Image, NothingToDraw, Points, Rule
from msnas.plots.histogram import histogram
from msnas.plots.look import REST
from msnas.plots.page import interactive
from msnas.plots.paper import draw
from msnas.results.outputs import BINARY, JET, MOMENTUM, Momenta
from msnas.results.resolution import profile, pt_edges, residuals
from msnas.results.runs import Runs
from msnas.results.trajectories import read_beliefs, read_trajectories

TASKS = ("calibration", "id")
SHAPES = {"calibration": [2, 3], "id": []}
EVENTS = 400


def made_outputs(seed: int, *, shift: float = 1.2, width: float = 0.1) -> dict[str, np.ndarray]:
    """Pairs of taus; jets have 0.7 of their pT, outputs `shift` times it with a relative width."""
    generator = np.random.default_rng(seed)
    label = generator.permutation(np.arange(EVENTS) % 2)
    tau = np.stack(
        [
            generator.uniform(30, 90, (EVENTS, 2)),
            generator.normal(0, 1, (EVENTS, 2)),
            generator.uniform(-math.pi, math.pi, (EVENTS, 2)),
        ],
        -1,
    )
    smear = np.ones((EVENTS, 2, 3))
    smear[..., 0] = shift * (1 + width * generator.normal(size=(EVENTS, 2)))
    jet = np.concatenate([tau * [0.7, 1, 1], np.full((EVENTS, 2, 1), 5.0)], -1)
    return {
        "inputs/jet": jet,
        "calibration/output": tau * smear,
        "calibration/target": tau,
        "id/output": 1 / (1 + np.exp(-generator.normal(label, 1.0))),
        "id/target": label,
    }


def make_run(
    folder: Path,
    *,
    method: str = "spos",
    seed: int = 0,
    v1: float = 0.5,
    auc: float = 0.8,
    copies: int = 1,
    seconds: float = 10.0,
    history: list[dict[str, Any]] | None = None,
    outputs: Mapping[str, np.ndarray] | None = None,
    data: str = "made.h5",
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write the directory of a finished run of made numbers."""
    key = f"{method}-{seed}-{v1:g}-{copies}"
    directory = folder / method / key
    directory.mkdir(parents=True)
    candidates = {f"cnn_{copy}": {} for copy in range(copies)} | {"mlp": {}}
    kinds = {"calibration": MOMENTUM, "id": BINARY}
    config = {
        "problem": {"name": "made", "chain": list(TASKS)},
        "method": {"name": method},
        "recipe": {"search": {"epochs": 3}},
        "seed": seed,
        "data": {
            "file": data,
            "fields": {
                "jet": {"_target_": JET},
                "image": {"_target_": "msnas.data.fields.LogPixels"},
            },
        },
        "tasks": {
            task: {
                "output": {"_target_": kinds[task], "shape": SHAPES[task]},
                "loss": {"_target_": "made"},
                "target": {"calibration": "tau", "id": "label"}[task],
                "candidates": candidates,
            }
            for task in TASKS
        },
        **(settings or {}),
    }
    values = {"loss": 0.5, "id/auc": auc}
    result = {
        "schema": 1,
        "problem": "made",
        "method": method,
        "key": key,
        "seed": seed,
        "task_weights": {"calibration": v1, "id": 1 - v1},
        "selected": dict.fromkeys(TASKS, "mlp"),
        "metrics": {"valid": values, "test": {**values, "id/auc": auc - 0.01}},
        "directions": {"id/auc": True},
        "chains": [],
        "data": {"events": 5 * EVENTS},
        "stages": {
            "pretrain": {"seconds": 0, "cached_seconds": 5.0},
            "search": {"seconds": seconds / 2, "cached_seconds": 0.0, "epochs": {}},
            "posttrain": {"seconds": seconds / 2},
        },
        "status": "finished",
    }
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    (directory / "result.json").write_text(json.dumps(result))
    (directory / "history.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in history or [])
    )
    if outputs is not None:
        with h5py.File(directory / "outputs.h5", "w") as file:
            file.attrs["key"] = key
            for name, array in outputs.items():
                file[name] = array


def alphas(epochs: int = 3, names: int = 2) -> list[dict[str, Any]]:
    """A history in which the first candidate's alpha grows by log 2 an epoch, others stay."""
    return [
        {
            "stage": "search",
            "epoch": epoch,
            "alpha": {
                task: {
                    ("cnn_0" if one == 0 else f"mlp{one}"): epoch * math.log(2) if one == 0 else 0.0
                    for one in range(names)
                }
                for task in TASKS
            },
        }
        for epoch in range(epochs)
    ]


def image_file(path: Path) -> None:
    """Three events of two jets; all pixels empty but a few."""
    image = np.zeros((3, 2, 3, 16, 16), dtype=np.float32)
    image[:, :, 0, 12, 3] = 6.0
    image[1, 1, :, 8, 8] = (1.0, 2.0, 30.0)
    with h5py.File(path, "w") as file:
        file["image"] = image


def test_every_figure_is_drawn_and_names_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in range(2):
        for method in ("spos", "darts"):
            make_run(
                tmp_path,
                method=method,
                seed=seed,
                history=alphas() if method == "darts" else None,
                outputs=made_outputs(seed),
            )
    runs = runs_of(tmp_path)
    for figure in (fig4_trajectories, roc, score, ditau_mass, response):
        chart = figure.chart(runs)
        check_drawn(chart, runs.wide["key"])
        told = " ".join([*chart.notes, *chart.legend()])
        assert "n = " in told or "seed" in told


def test_a_problem_without_momenta_classes_images_or_alphas_says_so(tmp_path: Path) -> None:
    regression = {"output": {"_target_": "msnas.chain.output.Regression"}, "loss": {"_target_": 1}}
    tasks = {task: {**regression, "candidates": {"mlp": {}}, "target": "z"} for task in TASKS}
    make_run(tmp_path, settings={"tasks": tasks, "data": {"fields": {}}})
    runs = runs_of(tmp_path)
    for figure, reason in (
        (fig4_trajectories, "spos has neither alpha nor theta"),
        (fig8_images, "no run reads images of jets"),
        (roc, "no task with two classes"),
        (score, "no task with two classes"),
        (ditau_mass, "calibrates no jets"),
        (response, "calibrates no jets"),
        (fig7_scaling, "same number of candidates"),
    ):
        with pytest.raises(NothingToDraw, match=reason):
            figure.chart(runs)
        with pytest.raises(NothingToDraw):
            figure.chart(Runs([]))


def test_runs_without_outputs_and_broken_ones_are_told(tmp_path: Path) -> None:
    make_run(tmp_path, seed=0)
    with pytest.raises(NothingToDraw, match=r"no outputs\.h5 \(1 run\)"):
        roc.chart(runs_of(tmp_path))
    make_run(tmp_path, seed=1, outputs={**made_outputs(1), "id/target": np.zeros(EVENTS)})
    for figure in (roc, score, ditau_mass):
        with pytest.raises(NothingToDraw, match=r"seed 1: .*found classes \[0.0\]"):
            figure.chart(runs_of(tmp_path))
    make_run(tmp_path, seed=2, outputs=made_outputs(2))
    chart = roc.chart(runs_of(tmp_path))
    assert set(large(chart, "spos")["key"]) == {"spos-2-0.5-1"}
    assert any("no outputs.h5 (1 run)" in note for note in chart.notes)
    assert any(note.startswith("Left out: spos, seed 1") for note in chart.notes)


def test_a_run_with_a_bad_file_is_left_out_and_named(tmp_path: Path) -> None:
    for seed in range(2):
        make_run(tmp_path, seed=seed, auc=0.8 - 0.1 * seed, outputs=made_outputs(seed))
    with h5py.File(tmp_path / "spos" / "spos-1-0.5-1" / "outputs.h5", "a") as file:
        del file["id/output"]
        file.create_dataset("id/output", (1 << 50,), "f4")
    notes = roc.chart(runs_of(tmp_path)).notes
    said = "Left out: spos, seed 1: outputs.h5: id/output: declares "
    assert any(note.startswith(said) for note in notes), notes


def test_shown_are_the_weights_nearest_to_equal_ones_but_no_lone_run(tmp_path: Path) -> None:
    for v1 in (0.1, 0.4, 0.9):
        for seed in range(3):
            make_run(tmp_path, v1=v1, seed=seed, outputs={})
    make_run(tmp_path, v1=0.5, seed=7, outputs={})
    chosen = choose(runs_of(tmp_path), with_outputs)
    assert chosen.title == "made, $v_1$ = 0.4, 2,000 events"
    assert list(chosen.runs["spos"]) == [0, 1, 2]
    assert chosen.notes == ["Not shown: other problems, task weights or settings (7 runs)."]


def test_a_title_tells_the_weights_of_more_than_two_tasks(tmp_path: Path) -> None:
    make_run(tmp_path, outputs=made_outputs(0))
    (run,) = runs_of(tmp_path).finished
    one = replace(run, task_weights={"a": 0.2, "b": 0.3, "id": 0.5})
    title = roc.chart(Runs([one])).title
    assert title == "made, weights 0.2, 0.3, 0.5, 2,000 events: AUC of id"


def test_the_best_run_is_chosen_on_validation_data(tmp_path: Path) -> None:
    for seed, auc in enumerate((0.7, 0.9, 0.8)):
        make_run(tmp_path, seed=seed, auc=auc, outputs=made_outputs(seed))
    runs = {run.seed: run for run in runs_of(tmp_path).finished}
    for one in (2, 0):  # what the test data say must not count
        runs[one] = replace(runs[one], test={**runs[one].test, "id/auc": 0.99})
    assert best_on_validation(runs).seed == 1
    frame = score.chart(Runs(list(runs.values()))).frame
    assert set(frame["key"]) == {"spos-1-0.5-1"}


def test_of_many_methods_with_settings_every_method_is_shown(tmp_path: Path) -> None:
    for one in range(9):
        chain = {"method": {"name": "fixed_chain", "chain": f"c{one}"}}
        make_run(tmp_path / str(one), method="fixed_chain", settings=chain, outputs={})
    make_run(tmp_path, method="spos", outputs={})
    chosen = choose(runs_of(tmp_path), with_outputs)
    assert len(chosen.runs) == 8
    assert "spos" in chosen.runs
    assert chosen.notes == ["Not shown: fixed_chain chain=c7, fixed_chain chain=c8."]


def test_no_true_pt_weights_that_cancel_and_momenta_without_a_mass_are_told(tmp_path: Path) -> None:
    outputs = made_outputs(0)
    outputs["calibration/target"] = np.zeros_like(outputs["calibration/target"])
    make_run(tmp_path / "a", outputs=outputs)
    with pytest.raises(NothingToDraw, match="no true pT above 1 GeV"):
        response.chart(runs_of(tmp_path / "a"))
    weight = np.where(made_outputs(0)["id/target"] == 1, 1.0, -0.5)
    make_run(tmp_path / "b", outputs={**made_outputs(0), "weight": weight})
    for figure in (roc, score, ditau_mass):
        with pytest.raises(NothingToDraw, match="id: class 0 weighs -100, expected > 0"):
            figure.chart(runs_of(tmp_path / "b"))
    outputs = made_outputs(0)
    outputs["calibration/output"][3, 0, 1] = 1e4  # its sinh has no number
    make_run(tmp_path / "c", outputs=outputs)
    with pytest.raises(NothingToDraw, match=r"momenta too large for a mass \(calibrated\)"):
        ditau_mass.chart(runs_of(tmp_path / "c"))


@pytest.mark.parametrize("weighted", [False, True])
def test_roc_is_that_of_sklearn(weighted: bool) -> None:
    generator = np.random.default_rng(0)
    label = generator.integers(2, size=500)
    scores = np.round(generator.normal(label, 1.0), 1)  # many ties
    weight = generator.uniform(0, 2, 500) if weighted else np.ones(500)
    background, area = roc.roc_curve(scores, label, weight)
    assert area == pytest.approx(metrics.roc_auc_score(label, scores, sample_weight=weight))
    false, true, _ = metrics.roc_curve(label, scores, sample_weight=weight, drop_intermediate=False)
    inside = slice(1, -1)
    expected = np.interp(roc.EFFICIENCY, true, false)
    np.testing.assert_allclose(background[inside], expected[inside], atol=1e-12)
    assert np.trapezoid(roc.EFFICIENCY, background) == pytest.approx(area, abs=0.01)


def test_roc_of_perfect_and_of_no_separation() -> None:
    label = np.repeat([0, 1], 50)
    ones = np.ones(100)
    assert roc.roc_curve(label.astype(float), label, ones)[1] == 1.0
    background, area = roc.roc_curve(ones, label, ones)
    assert area == pytest.approx(0.5)
    np.testing.assert_allclose(background, roc.EFFICIENCY)


def test_auc_has_the_error_of_the_test_sample_and_seeds_are_capped_aloud(tmp_path: Path) -> None:
    for seed in range(12):
        make_run(tmp_path, seed=seed, outputs=made_outputs(seed))
    runs = runs_of(tmp_path)
    curves = [roc.curve_of(run) for run in runs.finished]
    # scores of two Gaussians one width apart: AUC = Phi(1 / sqrt 2)
    assert np.mean([one.auc for one in curves]) == pytest.approx(0.760, abs=0.015)
    spread = float(np.std([one.auc for one in curves], ddof=1))
    assert curves[0].error == pytest.approx(spread, rel=0.5)
    chart = roc.chart(runs)
    assert chart.notes[-1] == "spos: 10 of 12 seeds as thin lines."
    assert small(chart)["key"].nunique() == 10
    (entry,) = chart.legend()
    assert entry == f"spos: {roc.told_auc(curves)}"
    assert entry.endswith("(n = 12)")
    # the rejection is drawn as far as five background events pass
    rejection = large(chart, "spos", panel=1)
    assert rejection["y"].max() <= curves[0].negatives / 5
    np.testing.assert_allclose(
        1 / rejection["y"], large(chart, "spos")["x"].iloc[-len(rejection) :]
    )


def test_masses_of_pairs_by_hand_and_as_the_candidate_computes_them() -> None:
    pair = np.array([[[62.5, 0.0, 0.0], [62.5, 0.0, math.pi]]])
    assert ditau_mass.pair_mass(pair, 0.0)[0] == pytest.approx(125.0)
    # m = -6 GeV stands for m^2 = -36 GeV^2: energy 8 GeV each
    back_to_back = np.array([[[10.0, 0.0, 0.5], [10.0, 0.0, 0.5 - math.pi]]])
    assert ditau_mass.pair_mass(back_to_back, np.array([[-6.0, -6.0]]))[0] == pytest.approx(16.0)
    generator = np.random.default_rng(0)
    some = generator.uniform([20, -2, -3], [100, 2, 3], (50, 2, 3))
    encoded = torch.from_numpy(some.copy())
    encoded[..., 0] = encode_pt(encoded[..., 0])
    found = ditau_mass.pair_mass(some, 1.777)
    np.testing.assert_allclose(found, invariant_mass(encoded), rtol=1e-6)


def test_calibration_moves_the_mass_as_it_moves_pt(tmp_path: Path) -> None:
    make_run(tmp_path, outputs=made_outputs(0, shift=1.0, width=0.0))
    panels = ditau_mass.chart(runs_of(tmp_path)).panels
    assert [panel.title for panel in panels] == ["label = 1", "label = 0"]
    for panel in panels:
        told = {one.label: float(one.words.split(" ")[0]) for one in panel.layers}
        assert told["spos"] == told["truth"]
        assert told["jets"] == pytest.approx(0.7 * told["truth"], rel=0.03)
        rows = {one.label: one.rows["y"].tolist() for one in panel.layers}
        assert rows["spos"] == rows["truth"] != rows["jets"]


def test_response_and_resolution_are_recovered(tmp_path: Path) -> None:
    make_run(tmp_path, outputs=made_outputs(3, shift=1.2, width=0.1))
    chart = response.chart(runs_of(tmp_path))
    check_drawn(chart, [run.key for run in runs_of(tmp_path).finished])
    frame = chart.frame.dropna(subset="of").set_index(["line", "of"])
    assert len(frame.loc["spos", "pt"]) == 10
    np.testing.assert_allclose(frame.loc[("jets", "pt"), "y"], 0.7, rtol=1e-9)
    np.testing.assert_allclose(frame.loc[("jets", "pt_width"), "y"], 0.0, atol=1e-9)
    np.testing.assert_allclose(frame.loc[("spos", "eta_width"), "y"], 0.0, atol=1e-9)
    for name, true in (("pt", 1.2), ("pt_width", 0.1)):
        rows = frame.loc["spos", name]
        pulls = (rows["y"] - true) / (rows["high"] - rows["y"])
        assert np.abs(pulls).max() < 4
        assert 0.3 < pulls.std() < 2


def test_the_error_of_a_median_is_that_of_a_gaussian_sample() -> None:
    generator = np.random.default_rng(1)
    values = generator.normal(1.0, 0.2, 4000)
    one = profile(values, np.full(4000, 50.0), np.array([40.0, 60.0]), relative=False)
    assert one.median_error[0] == pytest.approx(1.2533 * 0.2 / math.sqrt(4000), rel=0.25)
    assert one.width[0] == pytest.approx(0.2, rel=0.05)
    assert one.middle == [50.0]


def test_differences_of_phi_are_wrapped_and_no_truth_is_left_out() -> None:
    true = np.array([[[50.0, 0.5, 3.1]], [[0.0, 0.0, 0.0]]])
    output = np.array([[[45.0, 0.7, -3.1]], [[10.0, 0.0, 0.0]]])
    found = residuals(output, Momenta(jet=np.ones((2, 1, 4)), output=output, true=true))
    np.testing.assert_allclose(found.pt, [0.9])
    np.testing.assert_allclose(found.eta, [0.2])
    np.testing.assert_allclose(found.phi, [2 * math.pi - 6.2])


def test_bins_of_the_true_pt_hold_equally_many_and_may_be_empty() -> None:
    true = np.random.default_rng(0).exponential(100, 5000) + 20
    edges = pt_edges(true, bins=10)
    counts = np.histogram(true, edges)[0]
    assert len(counts) == 10
    assert counts.min() > 400
    same = np.full(30, 50.0)
    assert pt_edges(same, bins=10).tolist() == [50.0, 51.0]
    few = profile(same, same, np.array([0.0, 10.0, 60.0]), relative=True)
    assert few.low == [10.0]
    assert profile(same[:5], same[:5], np.array([0.0, 60.0]), relative=True).median == []


def test_one_jet_an_event_has_a_response_but_no_pair(tmp_path: Path) -> None:
    outputs = made_outputs(0)
    for name in ("inputs/jet", "calibration/output", "calibration/target"):
        outputs[name] = outputs[name][:, 0]
    make_run(tmp_path, outputs=outputs)
    (run,) = runs_of(tmp_path).finished
    run.config["tasks"]["calibration"]["output"]["shape"] = [3]
    (spos,) = [
        one.words for one in response.chart(Runs([run])).panels[0].layers if one.label == "spos"
    ]
    assert float(spos.split(" ")[0]) == pytest.approx(1.2, rel=0.02)
    with pytest.raises(NothingToDraw, match="one jet an event"):
        ditau_mass.chart(Runs([run]))


def test_histograms_are_normalised_with_weights_and_tell_what_is_beyond() -> None:
    one = histogram(np.array([0.5, 1.5, 1.6, 9.0]), np.array([1, 2, 1, 4.0]), np.arange(3.0))
    np.testing.assert_allclose(one.rows["y"], [1 / 8, 3 / 8])
    np.testing.assert_allclose(one.rows["error"], [1 / 8, math.sqrt(5) / 8])
    assert one.rows[["left", "right"]].to_numpy().tolist() == [[0, 1], [1, 2]]
    assert one.beyond == pytest.approx(0.5)
    assert one.mean == pytest.approx((0.5 + 3 + 1.6 + 36) / 8)


def test_power_laws_are_recovered() -> None:
    candidates = [3.0, 6.0, 12.0, 24.0]
    exact = fig7_scaling.power_law(candidates, [2 * one**1.7 for one in candidates])
    assert exact is not None
    assert (exact.factor, exact.exponent) == pytest.approx((2, 1.7))
    assert exact.error == pytest.approx(0, abs=1e-9)
    generator = np.random.default_rng(0)
    pulls = []
    for _ in range(200):
        noisy = [2 * one**1.7 * math.exp(generator.normal(0, 0.1)) for one in candidates * 3]
        law = fig7_scaling.power_law(candidates * 3, noisy)
        assert law is not None
        assert law.error is not None
        pulls.append((law.exponent - 1.7) / law.error)
    assert np.std(pulls) == pytest.approx(1.1, abs=0.2)  # Student, 10 degrees of freedom
    two = fig7_scaling.power_law([3.0, 6.0], [1.0, 4.0])
    assert two is not None
    assert (two.exponent, two.error) == (pytest.approx(2), None)
    assert fig7_scaling.power_law([3.0, 3.0], [1.0, 2.0]) is None


def test_scaling_compares_runs_that_differ_in_candidates(tmp_path: Path) -> None:
    for copies in (2, 5, 11):
        for method, power in (("spos", 1.0), ("grid_search", 2.0)):
            make_run(tmp_path, method=method, copies=copies, seconds=(copies + 1) ** power)
    make_run(tmp_path, v1=0.9, copies=2)
    runs = runs_of(tmp_path)
    chart = fig7_scaling.chart(runs)
    assert [one.entry for one in chart.panels[0].layers if one.label] == [
        "grid_search: a = 2.00 ± 0.00, n = 1",
        "spos: a = 1.00 ± 0.00, n = 1",
    ]
    assert large(chart, "spos")["x"].tolist() == [3, 6, 12]
    assert large(chart, "spos")["y"].tolist() == [3, 6, 12]
    # pre-training from the cache counts with the 5 seconds it once took
    assert large(chart, "spos", panel=1)["y"].tolist() == [8, 11, 17]
    assert large(chart, "spos", panel=2)["y"].tolist() == pytest.approx([0.79] * 3)
    (dashed, _) = [
        one.rows for one in chart.panels[0].layers if isinstance(one, Points) and not one.size
    ]
    np.testing.assert_allclose(dashed[["x", "y"]], [[3, 9], [12, 144]])
    assert chart.notes[1:] == ["Not shown: 1 run of other settings or repeated."]
    check_drawn(chart, runs.wide["key"])


def test_alpha_is_shown_as_a_probability_with_the_epoch_it_is_read_from(tmp_path: Path) -> None:
    history = alphas()
    for line, loss in zip(history, (0.5, 0.3, 0.4), strict=True):
        line["valid/loss"] = loss
    make_run(tmp_path, method="darts", history=history)
    chart = fig4_trajectories.chart(runs_of(tmp_path))
    assert [one.title for one in chart.panels] == ["darts: calibration", "darts: id"]
    for panel in range(2):
        cnn = large(chart, "cnn_0", panel)
        assert cnn["y"].tolist() == pytest.approx([1 / 2, 2 / 3, 4 / 5])
        assert cnn["x"].tolist() == [1, 2, 3]
        (read,) = [one.rows for one in chart.panels[panel].layers if isinstance(one, Rule)]
        assert read["x"].tolist() == [2]  # the lowest validation loss
    files = fig4_trajectories.save_trajectories(history, read_beliefs(history, {}), tmp_path)
    assert [one.name for one in files] == ["alpha.png", "alpha.pdf"]
    assert files[0].read_bytes()[:4] == b"\x89PNG"
    theta = [{"stage": "search", "epoch": 0, "theta": {"id": {"a": 0.3, "b": 0.7}}}]
    (one,) = read_trajectories(theta)
    assert {name: values.tolist() for name, values in one.probabilities()["id"].items()} == {
        "a": [0.3],
        "b": [0.7],
    }
    assert (
        fig4_trajectories.save_trajectories([{"stage": "search", "epoch": 0}], None, tmp_path) == []
    )


def test_too_many_candidates_and_seeds_are_capped_aloud(tmp_path: Path) -> None:
    for seed in range(11):
        make_run(tmp_path, method="darts", seed=seed, history=alphas(names=10))
    chart = fig4_trajectories.chart(runs_of(tmp_path))
    layers = [one for one in chart.panels[1].layers if isinstance(one, Points)]
    assert len({one.rows["key"].iloc[0] for one in layers}) == 10
    colours = {one.rows["candidate"].iloc[0]: one.look.colour for one in layers}
    assert list(colours.values()).count(REST) == 2
    assert len(set(colours.values())) == 9
    assert chart.notes[1:3] == [
        "darts: 10 of 11 seeds.",
        "calibration: 2 of 10 candidates in grey.",
    ]


def test_images_are_averaged_and_one_with_all_channels_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path)
    with pytest.raises(NothingToDraw, match=r"made\.h5 is not there"):
        fig8_images.chart(runs_of(tmp_path))
    image_file(tmp_path / "made.h5")
    chart = fig8_images.chart(runs_of(tmp_path))
    assert chart.title == "made.h5: n = 6 images"
    assert [one.title for one in chart.panels[2:4]] == [
        *("hadronic calorimeter, mean of all", "tracks, event 1, jet 1")
    ]
    tracks, hadrons = (chart.panels[number].layers[0] for number in (0, 2))
    assert isinstance(tracks, Image)
    assert isinstance(hadrons, Image)
    # eta bin 12 is from 0.2 to 0.25, phi bin 3 from -0.25 to -0.2
    assert tracks.pixels().loc[-0.225, 0.225] == pytest.approx(6.0)
    assert hadrons.pixels().loc[0.025, 0.025] == pytest.approx(30 / 6)
    page = go.Figure(interactive(chart)).data[0]
    assert (page.x[12], page.y[3]) == pytest.approx((0.225, -0.225))
    assert page.z[3][12] == pytest.approx(math.log10(6), abs=1e-4)
    assert page.z[12][3] is None
    drawn = draw(chart).axes[0].collections[0].get_array()
    assert drawn[3, 12] == pytest.approx(6.0)
    assert drawn.mask[12, 3]


def test_a_file_of_other_images_or_a_link_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path)
    with h5py.File("made.h5", "w") as file:
        file["image"] = np.zeros((4, 8, 8))
    with pytest.raises(NothingToDraw, match=r"shape \[4, 8, 8\], expected \[event, jet"):
        fig8_images.chart(runs_of(tmp_path))
    Path("made.h5").write_bytes(b"no HDF5")
    with pytest.raises(NothingToDraw, match="cannot be read"):
        fig8_images.chart(runs_of(tmp_path))
    image_file(tmp_path / "other.h5")
    with h5py.File("made.h5", "w") as file:
        file["image"] = h5py.ExternalLink("other.h5", "/image")
    with pytest.raises(NothingToDraw, match=r"^made\.h5: image: image is a link"):
        fig8_images.chart(runs_of(tmp_path))


@pytest.mark.parametrize("pixel", [math.nan, math.inf, -1.0, 1e39])
def test_images_of_no_energy_are_refused(pixel: float) -> None:
    image = np.zeros((3, 2, 3, 16, 16))
    image[2, 1, 0, 4, 5] = pixel
    with pytest.raises(NothingToDraw, match="made: found pixels that are no numbers"):
        fig8_images.summary(image, where="made")
