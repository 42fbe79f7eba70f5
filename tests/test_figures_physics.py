"""Figures of single runs: trajectories, scaling, images, ROC, scores, masses, responses."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import matplotlib.axes
import numpy as np
import pytest
import torch
import yaml
from sklearn import metrics

from msnas.candidates.mass import invariant_mass
from msnas.momentum import encode_pt
from msnas.report.chosen import best_on_validation, choose, with_outputs
from msnas.report.collect import FinishedRun, collect_runs
from msnas.report.figure import Figure, NothingToDraw
from msnas.report.figures.ditau_mass import DiTauMass, pair_mass
from msnas.report.figures.fig4_trajectories import REST, Trajectories
from msnas.report.figures.fig7_scaling import Scaling, power_law
from msnas.report.figures.fig8_images import JetImages
from msnas.report.figures.response import JETS, Response
from msnas.report.figures.roc import EFFICIENCY, Roc, roc_curve
from msnas.report.figures.score import ScoreByClass
from msnas.report.histogram import histogram
from msnas.report.outputs import BINARY, JET, MOMENTUM, Momenta
from msnas.report.scan import Scan
from msnas.report.trajectories import read_trajectories
from msnas.results.resolution import profile, pt_edges, residuals

TASKS = ("calibration", "id")
EVENTS = 400
FIGURES: list[type[Figure[Any]]] = [
    Trajectories,
    JetImages,
    Roc,
    ScoreByClass,
    DiTauMass,
    Response,
]


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
                "output": {"_target_": kinds[task], "shape": [2, 3]},
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


def scan_of(folder: Path) -> Scan:
    return Scan(*collect_runs([folder]))


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


def test_every_figure_is_drawn_twice_without_nan_and_names_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image_file(tmp_path / "made.h5")
    for seed in range(2):
        for method in ("spos", "darts"):
            make_run(
                tmp_path,
                method=method,
                seed=seed,
                history=alphas() if method == "darts" else None,
                outputs=made_outputs(seed),
            )
    scan = scan_of(tmp_path)
    keys = {str(run.result["key"]) for run in scan.runs}
    for figure in (one() for one in FIGURES):
        data = figure.data(scan)
        drawing = figure.draw(data)
        drawing.savefig(tmp_path / f"{figure.name}.png")
        assert (tmp_path / f"{figure.name}.png").stat().st_size > 10_000
        assert drawing.get_suptitle() or drawing.legends[0].get_title().get_text()
        page = figure.interactive(data)
        text = page.to_json()
        assert "NaN" not in text
        assert "Infinity" not in text
        assert len(text) < 300_000
        named = {key for one in page.data for key in one.customdata or () if key is not None}
        assert named <= keys
        if not isinstance(figure, JetImages):
            assert named


def test_a_problem_without_momenta_classes_images_or_alphas_says_so(tmp_path: Path) -> None:
    regression = {"output": {"_target_": "msnas.chain.output.Regression"}, "loss": {"_target_": 1}}
    tasks = {task: {**regression, "candidates": {"mlp": {}}, "target": "z"} for task in TASKS}
    make_run(tmp_path, settings={"tasks": tasks, "data": {"fields": {}}})
    scan = scan_of(tmp_path)
    for figure, reason in (
        (Trajectories(), "spos has neither alpha nor theta"),
        (JetImages(), "no run reads images of jets"),
        (Roc(), "no task with two classes"),
        (ScoreByClass(), "no task with two classes"),
        (DiTauMass(), "calibrates no jets"),
        (Response(), "calibrates no jets"),
        (Scaling(), "same number of candidates"),
    ):
        with pytest.raises(NothingToDraw, match=reason):
            figure.data(scan)
        with pytest.raises(NothingToDraw):
            figure.data(Scan([], []))


def test_runs_without_outputs_and_broken_ones_are_told(tmp_path: Path) -> None:
    make_run(tmp_path, seed=0)
    with pytest.raises(NothingToDraw, match=r"no outputs\.h5 \(1 run\)"):
        Roc().data(scan_of(tmp_path))
    make_run(tmp_path, seed=1, outputs={**made_outputs(1), "id/target": np.zeros(EVENTS)})
    for figure in (Roc(), ScoreByClass(), DiTauMass()):
        with pytest.raises(NothingToDraw, match=r"seed 1: .*found classes \[0.0\]"):
            figure.data(scan_of(tmp_path))
    make_run(tmp_path, seed=2, outputs=made_outputs(2))
    data = Roc().data(scan_of(tmp_path))
    assert [curve.seed for curve in data.runs["spos"]] == [2]
    assert any("no outputs.h5 (1 run)" in note for note in data.notes)
    assert any(note.startswith("Left out: spos, seed 1") for note in data.notes)


def test_shown_are_the_weights_nearest_to_equal_ones_but_no_lone_run(tmp_path: Path) -> None:
    for v1 in (0.1, 0.4, 0.9):
        for seed in range(3):
            make_run(tmp_path, v1=v1, seed=seed, outputs={})
    make_run(tmp_path, v1=0.5, seed=7, outputs={})
    chosen = choose(scan_of(tmp_path), with_outputs)
    assert chosen.title == "made, $v_1$ = 0.4, 2,000 events"
    assert list(chosen.runs["spos"]) == [0, 1, 2]
    assert chosen.notes == ["Not shown: other problems, task weights or settings (7 runs)."]


def test_a_title_tells_the_weights_of_more_than_two_tasks(tmp_path: Path) -> None:
    make_run(tmp_path, outputs=made_outputs(0))
    (run,) = scan_of(tmp_path).runs
    result = {**run.result, "task_weights": {"a": 0.2, "b": 0.3, "id": 0.5}}
    one = FinishedRun(directory=run.directory, config=run.config, result=result)
    title = Roc().data(Scan([one], [])).title
    assert title == "made, weights 0.2, 0.3, 0.5, 2,000 events"


def test_the_best_run_is_chosen_on_validation_data(tmp_path: Path) -> None:
    for seed, auc in enumerate((0.7, 0.9, 0.8)):
        make_run(tmp_path, seed=seed, auc=auc, outputs=made_outputs(seed))
    runs = {run.seed: run for run in scan_of(tmp_path).runs}
    for one in (2, 0):  # what the test data say must not count
        test: dict[str, float] = runs[one].result["metrics"]["test"]
        test["id/auc"] = 0.99
    assert best_on_validation(runs).seed == 1
    assert ScoreByClass().data(scan_of(tmp_path)).runs["spos"].key == "spos-1-0.5-1"


def test_of_many_methods_with_settings_every_method_is_shown(tmp_path: Path) -> None:
    for one in range(9):
        chain = {"method": {"name": "fixed_chain", "chain": f"c{one}"}}
        make_run(tmp_path / str(one), method="fixed_chain", settings=chain, outputs={})
    make_run(tmp_path, method="spos", outputs={})
    chosen = choose(scan_of(tmp_path), with_outputs)
    assert len(chosen.runs) == 8
    assert "spos" in chosen.runs
    assert chosen.notes == ["Not shown: fixed_chain chain=c7, fixed_chain chain=c8."]


def test_no_true_pt_and_weights_that_cancel_are_told(tmp_path: Path) -> None:
    outputs = made_outputs(0)
    outputs["calibration/target"] = np.zeros_like(outputs["calibration/target"])
    make_run(tmp_path / "a", outputs=outputs)
    with pytest.raises(NothingToDraw, match="no true pT above 1 GeV"):
        Response().data(scan_of(tmp_path / "a"))
    weight = np.where(made_outputs(0)["id/target"] == 1, 1.0, -0.5)
    make_run(tmp_path / "b", outputs={**made_outputs(0), "weight": weight})
    for figure in (Roc(), ScoreByClass(), DiTauMass()):
        with pytest.raises(NothingToDraw, match="id: class 0 weighs -100, expected > 0"):
            figure.data(scan_of(tmp_path / "b"))


@pytest.mark.parametrize("weighted", [False, True])
def test_roc_is_that_of_sklearn(weighted: bool) -> None:
    generator = np.random.default_rng(0)
    label = generator.integers(2, size=500)
    score = np.round(generator.normal(label, 1.0), 1)  # many ties
    weight = generator.uniform(0, 2, 500) if weighted else np.ones(500)
    background, area = roc_curve(score, label, weight)
    assert area == pytest.approx(metrics.roc_auc_score(label, score, sample_weight=weight))
    false, true, _ = metrics.roc_curve(label, score, sample_weight=weight, drop_intermediate=False)
    inside = slice(1, -1)
    expected = np.interp(EFFICIENCY, true, false)
    np.testing.assert_allclose(background[inside], expected[inside], atol=1e-12)
    assert np.trapezoid(EFFICIENCY, background) == pytest.approx(area, abs=0.01)


def test_roc_of_perfect_and_of_no_separation() -> None:
    label = np.repeat([0, 1], 50)
    ones = np.ones(100)
    assert roc_curve(label.astype(float), label, ones)[1] == 1.0
    background, area = roc_curve(ones, label, ones)
    assert area == pytest.approx(0.5)
    np.testing.assert_allclose(background, EFFICIENCY)


def test_auc_has_the_error_of_the_test_sample_and_seeds_are_capped_aloud(tmp_path: Path) -> None:
    for seed in range(12):
        make_run(tmp_path, seed=seed, outputs=made_outputs(seed))
    data = Roc().data(scan_of(tmp_path))
    curves = data.runs["spos"]
    # scores of two Gaussians one width apart: AUC = Phi(1 / sqrt 2)
    assert np.mean([one.auc for one in curves]) == pytest.approx(0.760, abs=0.015)
    spread = float(np.std([one.auc for one in curves], ddof=1))
    assert curves[0].error == pytest.approx(spread, rel=0.5)
    assert data.notes[-1] == "spos: 10 of 12 seeds as thin lines."
    whole: matplotlib.axes.Axes = Roc().draw(data).axes[0]
    assert len(whole.lines) == 10 + 1 + 1  # thin ones, median, diagonal
    assert whole.get_legend_handles_labels()[1][0].endswith("(12 seeds)")


def test_masses_of_pairs_by_hand_and_as_the_candidate_computes_them() -> None:
    pair = np.array([[[62.5, 0.0, 0.0], [62.5, 0.0, math.pi]]])
    assert pair_mass(pair, 0.0)[0] == pytest.approx(125.0)
    # m = -6 GeV stands for m^2 = -36 GeV^2: energy 8 GeV each
    back_to_back = np.array([[[10.0, 0.0, 0.5], [10.0, 0.0, 0.5 - math.pi]]])
    assert pair_mass(back_to_back, np.array([[-6.0, -6.0]]))[0] == pytest.approx(16.0)
    generator = np.random.default_rng(0)
    some = generator.uniform([20, -2, -3], [100, 2, 3], (50, 2, 3))
    encoded = torch.from_numpy(some.copy())
    encoded[..., 0] = encode_pt(encoded[..., 0])
    np.testing.assert_allclose(pair_mass(some, 1.777), invariant_mass(encoded), rtol=1e-6)


def test_calibration_moves_the_mass_as_it_moves_pt(tmp_path: Path) -> None:
    make_run(tmp_path, outputs=made_outputs(0, shift=1.0, width=0.0))
    panels = DiTauMass().data(scan_of(tmp_path)).panels
    assert list(panels) == ["label = 1", "label = 0"]
    for panel in panels.values():
        assert panel.calibrated["spos"].mean == pytest.approx(panel.true.mean, rel=1e-9)
        assert panel.jets.mean == pytest.approx(0.7 * panel.true.mean, rel=0.03)


def test_response_and_resolution_are_recovered(tmp_path: Path) -> None:
    make_run(tmp_path, outputs=made_outputs(3, shift=1.2, width=0.1))
    lines = Response().data(scan_of(tmp_path)).lines
    jets, spos = lines[JETS].pt, lines["spos"].pt
    assert len(spos.median) == 10
    np.testing.assert_allclose(jets.median, 0.7, rtol=1e-9)
    np.testing.assert_allclose(jets.width, 0.0, atol=1e-9)
    pulls = (np.array(spos.median) - 1.2) / spos.median_error
    assert np.abs(pulls).max() < 4
    assert 0.3 < pulls.std() < 2
    pulls = (np.array(spos.width) - 0.1) / spos.width_error
    assert np.abs(pulls).max() < 4
    assert lines["spos"].eta.width == pytest.approx([0.0] * 10, abs=1e-9)


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
    (run,) = scan_of(tmp_path).runs
    config = dict(run.config)
    config["tasks"]["calibration"]["output"]["shape"] = [3]
    scan = Scan([FinishedRun(directory=run.directory, config=config, result=run.result)], [])
    assert Response().data(scan).lines["spos"].response.middle == pytest.approx(1.2, rel=0.02)
    with pytest.raises(NothingToDraw, match="one jet an event"):
        DiTauMass().data(scan)


def test_histograms_are_normalised_with_weights_and_tell_what_is_beyond() -> None:
    one = histogram(np.array([0.5, 1.5, 1.6, 9.0]), np.array([1, 2, 1, 4.0]), np.arange(3.0))
    np.testing.assert_allclose(one.density, [1 / 8, 3 / 8])
    np.testing.assert_allclose(one.error, [1 / 8, math.sqrt(5) / 8])
    assert one.beyond == pytest.approx(0.5)
    assert one.mean == pytest.approx((0.5 + 3 + 1.6 + 36) / 8)


def test_power_laws_are_recovered() -> None:
    candidates = [3.0, 6.0, 12.0, 24.0]
    exact = power_law(candidates, [2 * one**1.7 for one in candidates])
    assert exact is not None
    assert (exact.factor, exact.exponent) == pytest.approx((2, 1.7))
    assert exact.error == pytest.approx(0, abs=1e-9)
    generator = np.random.default_rng(0)
    pulls = []
    for _ in range(200):
        noisy = [2 * one**1.7 * math.exp(generator.normal(0, 0.1)) for one in candidates * 3]
        law = power_law(candidates * 3, noisy)
        assert law is not None
        assert law.error is not None
        pulls.append((law.exponent - 1.7) / law.error)
    assert np.std(pulls) == pytest.approx(1.1, abs=0.2)  # Student, 10 degrees of freedom
    two = power_law([3.0, 6.0], [1.0, 4.0])
    assert two is not None
    assert (two.exponent, two.error) == (pytest.approx(2), None)
    assert power_law([3.0, 3.0], [1.0, 2.0]) is None


def test_scaling_compares_runs_that_differ_in_candidates(tmp_path: Path) -> None:
    for copies in (2, 5, 11):
        for method, power in (("spos", 1.0), ("grid_search", 2.0)):
            make_run(tmp_path, method=method, copies=copies, seconds=(copies + 1) ** power)
    make_run(tmp_path, v1=0.9, copies=2)
    figure = Scaling()
    data = figure.data(scan_of(tmp_path))
    assert [one.candidates for one in data.runs["spos"]] == [3, 6, 12]
    search, total = data.laws
    assert data.laws[search]["spos"].exponent == pytest.approx(1)
    assert data.laws[search]["grid_search"].exponent == pytest.approx(2)
    # pre-training from the cache counts with the 5 seconds it once took
    assert data.runs["spos"][0].seconds[total] == pytest.approx(3 + 5)
    assert data.runs["spos"][0].metric == pytest.approx(0.79)
    assert data.notes == ["Not shown: 1 run of other settings or repeated."]
    labels = figure.draw(data).axes[0].get_legend_handles_labels()[1]
    assert labels == ["grid_search: a = 2.00 ± 0.00", "spos: a = 1.00 ± 0.00"]
    assert "NaN" not in figure.interactive(data).to_json()


def test_alpha_is_shown_as_a_probability(tmp_path: Path) -> None:
    make_run(tmp_path, method="darts", history=alphas())
    (way,) = Trajectories().data(scan_of(tmp_path)).runs["darts"]
    np.testing.assert_allclose(way.probabilities["id"]["cnn_0"], [1 / 2, 2 / 3, 4 / 5])
    assert list(way.epochs) == [1, 2, 3]
    theta = [{"stage": "search", "epoch": 0, "theta": {"id": {"a": 0.3, "b": 0.7}}}]
    (one,) = read_trajectories(theta)
    assert {name: values.tolist() for name, values in one.probabilities()["id"].items()} == {
        "a": [0.3],
        "b": [0.7],
    }


def test_too_many_candidates_and_seeds_are_capped_aloud(tmp_path: Path) -> None:
    for seed in range(11):
        make_run(tmp_path, method="darts", seed=seed, history=alphas(names=10))
    data = Trajectories().data(scan_of(tmp_path))
    assert len(data.runs["darts"]) == 10
    colours = data.colours["id"]
    assert list(colours.values()).count(REST) == 2
    assert len(set(colours.values())) == 9
    assert data.notes[:2] == [
        "darts: 10 of 11 seeds.",
        "calibration: 2 of 10 candidates in grey.",
    ]


def test_images_are_averaged_and_one_with_all_channels_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path)
    figure = JetImages()
    with pytest.raises(NothingToDraw, match=r"made\.h5 is not there"):
        figure.data(scan_of(tmp_path))
    image_file(tmp_path / "made.h5")
    data = figure.data(scan_of(tmp_path))
    assert data.mean[0, 12, 3] == pytest.approx(6.0)
    assert data.mean[2, 8, 8] == pytest.approx(30 / 6)
    assert data.single_name == "event 1, jet 1"
    page = figure.interactive(data)
    tracks = page.data[0]
    # eta bin 12 is from 0.2 to 0.25, phi bin 3 from -0.25 to -0.2
    assert (tracks.x[12], tracks.y[3]) == pytest.approx((0.225, -0.225))
    assert tracks.z[3][12] == pytest.approx(math.log10(6), abs=1e-4)
    assert tracks.z[12][3] is None
    drawn = figure.draw(data).axes[0].collections[0].get_array()
    assert drawn[3, 12] == pytest.approx(6.0)
    assert drawn.mask[12, 3]


def test_a_file_whose_images_have_another_shape_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path)
    with h5py.File("made.h5", "w") as file:
        file["image"] = np.zeros((4, 8, 8))
    with pytest.raises(NothingToDraw, match=r"shape \[4, 8, 8\], expected \[event, jet"):
        JetImages().data(scan_of(tmp_path))
    Path("made.h5").write_bytes(b"no HDF5")
    with pytest.raises(NothingToDraw, match="cannot be read"):
        JetImages().data(scan_of(tmp_path))


def test_a_run_with_a_bad_file_is_left_out_and_named(tmp_path: Path) -> None:
    for seed in range(2):
        make_run(tmp_path, seed=seed, auc=0.8 - 0.1 * seed, outputs=made_outputs(seed))
    with h5py.File(tmp_path / "spos" / "spos-1-0.5-1" / "outputs.h5", "a") as file:
        del file["id/output"]
        file.create_dataset("id/output", (1 << 50,), "f4")
    notes = Roc().data(scan_of(tmp_path)).notes
    said = "Left out: spos, seed 1: outputs.h5: id/output: declares "
    assert any(note.startswith(said) for note in notes), notes


def test_momenta_without_a_mass_are_refused(tmp_path: Path) -> None:
    outputs = made_outputs(0)
    outputs["calibration/output"][3, 0, 1] = 1e4  # its sinh has no number
    make_run(tmp_path, outputs=outputs)
    with pytest.raises(NothingToDraw, match=r"momenta too large for a mass \(calibrated\)"):
        DiTauMass().data(scan_of(tmp_path))


@pytest.mark.parametrize("pixel", [math.nan, math.inf, -1.0, 1e39])
def test_images_of_no_energy_are_refused(
    pixel: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path)
    image = np.zeros((3, 2, 3, 16, 16))
    image[2, 1, 0, 4, 5] = pixel
    with h5py.File("made.h5", "w") as file:
        file["image"] = image
    with pytest.raises(NothingToDraw, match=r"made\.h5: image: found pixels that are no numbers"):
        JetImages().data(scan_of(tmp_path))


def test_images_that_are_elsewhere_are_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path)
    image_file(tmp_path / "other.h5")
    with h5py.File("made.h5", "w") as file:
        file["image"] = h5py.ExternalLink("other.h5", "/image")
    with pytest.raises(NothingToDraw, match=r"^made\.h5: image: image is a link"):
        JetImages().data(scan_of(tmp_path))
