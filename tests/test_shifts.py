"""Shifts of the inputs: none changes nothing, there and back again, numbers by hand, real runs."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from conftest import CONF, QUIET, Compose, compose_config, epochs, small_run
from documented import commands

from msnas.build import build
from msnas.data.frames import TURN
from msnas.errors import ConfigError, DataError
from msnas.evaluate import Part, Settings, evaluate_run
from msnas.evaluate import main as evaluate_main
from msnas.parts import Parts, make_parts, read_events
from msnas.plan import make_plan
from msnas.results.result import Result
from msnas.run import run
from msnas.shifts.chosen import chosen_shifts
from msnas.shifts.pixel_noise import PixelNoise
from msnas.shifts.shift import Shift
from msnas.shifts.shifted import ShiftedEvents, ShiftPoint
from msnas.shifts.tau_energy_scale import TauEnergyScale
from msnas.training.progress import Display
from msnas.training.store import Store

OPTIONS = sorted(path.stem for path in (CONF / "shift").glob("*.yaml"))
Arrays = dict[str, np.ndarray]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is refused leaves its record below the folder it was begun in."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def raw(event_file: Path) -> Arrays:
    with h5py.File(event_file) as file:
        return {name: item[:120] for name, item in file.items()}


def made(name: str, **changes: Any) -> Shift:
    settings = chosen_shifts([name], {}, {})[name]
    return build({**settings, **changes}, key=f"shifts.{name}", of=Shift)


def parts_of(compose: Compose, folder: Path, *words: str) -> Parts:
    plan = make_plan(compose(*words))
    return make_parts(plan, read_events(plan), store=Store(folder), display=Display(QUIET))


def same(some: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    assert some.keys() == others.keys()
    return all(torch.equal(some[name], others[name]) for name in some)


@pytest.mark.parametrize("frame", ["canonical", "detector"])
@pytest.mark.parametrize("problem", ["htautau", "htautau_fakes"])
def test_a_shift_of_nothing_changes_no_bit(
    problem: str, frame: str, event_file: Path, fakes_file: Path
) -> None:
    file = {"htautau": event_file, "htautau_fakes": fakes_file}[problem]
    words = [f"problem={problem}", f"data.file={file}", "data.events=all", f"frame={frame}"]
    events = read_events(make_plan(compose_config([*words, "trainer=cpu"])))
    shifts = {name: made(name, size=0) for name in OPTIONS}
    shifted = ShiftedEvents(events, shifts)
    assert len(shifted.points) == 2 * len(OPTIONS)
    for point in shifted.points:
        for part in ("valid", "test"):
            assert same(shifted.part(part, point), getattr(events, part)), point
    whole = ShiftedEvents(events, {name: made(name) for name in OPTIONS})
    for point in whole.points:
        assert not same(whole.part("test", point), events.test), point


@pytest.mark.parametrize("name", OPTIONS)
def test_there_and_back_again(name: str, raw: Arrays) -> None:
    shift = made(name, **({"size": 0.5} if name == "tau_energy_scale" else {}))
    before = {key: value.copy() for key, value in raw.items()}
    there = shift.apply(raw, 1)
    assert any((there[key] != raw[key]).any() for key in raw)
    back = shift.apply(there, -1)
    for key, value in raw.items():
        np.testing.assert_array_equal(value, before[key])  # what is shifted stays
        assert back[key].dtype == value.dtype
        np.testing.assert_allclose(back[key], value, rtol=2e-7, atol=0)
    if name == "tau_energy_scale":
        moved = (there["tau"] != raw["tau"]).any((1, 2))
        assert 0 < moved.sum() < len(moved)  # the jets that changed places take their taus along
        np.testing.assert_array_equal(there["tau"][moved], raw["tau"][moved][:, ::-1])
        np.testing.assert_array_equal(there["image"][moved], raw["image"][moved][:, ::-1])
        assert (np.diff(there["jet"][:, :, 0]) <= 0).all()


def test_scales_by_hand(raw: Arrays) -> None:
    jets = made("jet_energy_scale").apply(raw, 1)["jet"]
    np.testing.assert_allclose(jets[..., [0, 3]], raw["jet"][..., [0, 3]] * 1.03, rtol=1e-6)
    np.testing.assert_array_equal(jets[..., 1:3], raw["jet"][..., 1:3])
    down = made("jet_energy_scale").apply(raw, -1)["jet"]
    np.testing.assert_allclose(down[..., 0], raw["jet"][..., 0] / 1.03, rtol=1e-6)
    tracks = made("track_scale").apply(raw, 1)["image"]
    np.testing.assert_allclose(tracks[:, :, 0], raw["image"][:, :, 0] * 1.01, rtol=1e-6)
    np.testing.assert_array_equal(tracks[:, :, 1:], raw["image"][:, :, 1:])
    towers = made("calorimeter_scale").apply(raw, 1)["image"]
    np.testing.assert_allclose(towers[:, :, 1:], raw["image"][:, :, 1:] * 1.03, rtol=1e-6)
    np.testing.assert_array_equal(towers[:, :, 0], raw["image"][:, :, 0])


def test_the_tau_energy_scale_is_of_one_decay() -> None:
    raw = {
        "jet": np.array([[[50, 0.5, 1, 2], [40, -0.5, 2, -3.0]]] * 3, np.float32),
        "tau_decay": np.array([[[1, 0], [1, 1]], [[3, 0], [1, 0]], [[0, 0], [3, 1]]], np.uint8),
        "target": np.arange(6.0).reshape(3, 2, 1),
    }
    settings = {"field": "jet", "decays": "tau_decay", "along": ["target", "absent"]}
    shift = TauEnergyScale(**settings, size=0.5, charged=[1], neutral=[0])  # type: ignore[arg-type]
    found = shift.apply(raw, 1)
    np.testing.assert_allclose(found["jet"][0, :, 0], [75, 40])
    np.testing.assert_allclose(found["jet"][0, :, 3], [3, -3])
    np.testing.assert_allclose(found["jet"][1, :, 0], [60, 50])  # 40 x 1.5 leads now
    np.testing.assert_allclose(found["jet"][1, :, 1], [-0.5, 0.5])
    np.testing.assert_array_equal(found["target"][:, :, 0], [[0, 1], [3, 2], [4, 5]])
    np.testing.assert_array_equal(found["tau_decay"][1], [[1, 0], [3, 0]])
    np.testing.assert_array_equal(found["jet"][2], raw["jet"][2])  # a fake, and three hadrons
    every = TauEnergyScale(**settings, size=0.5, charged=[1, 3])  # type: ignore[arg-type]
    np.testing.assert_allclose(every.apply(raw, 1)["jet"][2, :, 0], [60, 50])


def test_noise_is_the_events_own(raw: Arrays) -> None:
    settings = {"field": "image", "size": 2.0, "channels": [1], "drawn_by": "jet"}
    shift = PixelNoise(**settings, share=0.05)  # type: ignore[arg-type]
    more = shift.apply(raw, 1)["image"] - raw["image"]
    assert not more[:, :, [0, 2]].any()
    pixels = more[:, :, 1].ravel()
    hit = pixels[pixels > 0]
    assert len(hit) == pytest.approx(0.05 * len(pixels), abs=4 * np.sqrt(0.05 * len(pixels)))
    assert hit.mean() == pytest.approx(2, abs=4 * 2 / np.sqrt(len(hit)))
    assert hit.std() == pytest.approx(2, rel=0.1)  # an exponential's is its mean
    # wherever an event stands, it has the same noise; another seed's is another
    order = np.random.default_rng(0).permutation(120)
    elsewhere = shift.apply({name: value[order] for name, value in raw.items()}, 1)["image"]
    np.testing.assert_array_equal(elsewhere, shift.apply(raw, 1)["image"][order])
    other = PixelNoise(**settings, share=0.05, seed=1)  # type: ignore[arg-type]
    assert (other.apply(raw, 1)["image"] != shift.apply(raw, 1)["image"]).any()
    # no two events share their noise
    patterns = {(row > 0).tobytes() for row in more[:, :, 1]}
    assert len(patterns) == 120
    less = shift.apply(raw, -1)["image"]
    assert less.min() == 0
    assert (less <= raw["image"]).all()


def test_what_is_derived_follows(compose: Compose) -> None:
    """Scales stay those of the training part; the frame is that of the shifted jets."""
    events = read_events(make_plan(compose("frame=canonical")))
    shifted = ShiftedEvents(
        events,
        {"jets": made("jet_energy_scale"), "taus": made("tau_energy_scale", size=0.5)},
    )
    found = shifted.part("test", ShiftPoint("jets", "up"))
    pt = np.expm1(events.test["jet"][..., 0].double().numpy() - np.log(0.1)) * 0.1
    np.testing.assert_allclose(found["jet"][..., 0], np.log(0.1 + 1.03 * pt), atol=2e-6)
    np.testing.assert_allclose(found["jet"][..., 3], 1.03 * events.test["jet"][..., 3], rtol=1e-6)
    for name in ("image", "tau", "label", TURN):
        assert torch.equal(found[name], events.test[name])
    turned = shifted.part("test", ShiftPoint("taus", "up"))
    assert (turned[TURN] != events.test[TURN]).any()
    assert turned["jet"][:, 0, 2].abs().max() == 0
    assert (turned["jet"][:, 0, 0] >= turned["jet"][:, 1, 0]).all()
    back, plain = events.in_detector(turned), events.in_detector(events.test)
    moved = (turned[TURN] != events.test[TURN]).any(1)
    assert 0 < moved.sum() < len(moved)
    torch.testing.assert_close(back["tau"][moved], plain["tau"][moved].flip(1), atol=3e-6, rtol=0)


def test_a_metric_under_three_percent_by_hand(
    compose: Compose, event_file: Path, tmp_path: Path
) -> None:
    """The scale factors begin as the identity: their taus are the jets, 3 % too high."""
    words = ("shift@shifts.jets=jet_energy_scale", "frame=canonical")
    parts = parts_of(compose, tmp_path, *words)
    chain = parts.chain.only(("sf", "mass"))
    told = parts.scoring.again(chain, ("sf", "mass"), "test", None, {})
    with h5py.File(event_file) as file:
        assert parts.events.origin is not None
        rows = parts.events.origin.indices["test"]
        jet, tau = (file[name][()][rows].astype(float) for name in ("jet", "tau"))

    def error(factor: float) -> float:
        found = cartesian(jet[..., :3] * [factor, 1, 1]) - cartesian(tau)
        return float((found**2).sum((1, 2)).mean() / 1e4)

    assert told["values"]["tau_calibration/mse"] == pytest.approx(error(1), rel=1e-4)
    points = told["shifts"]["points"]
    assert [(one["shift"], one["direction"], one["size"]) for one in points] == [
        ("jets", "up", 0.03),
        ("jets", "down", -0.03),
    ]
    for one, factor in zip(points, (1.03, 1 / 1.03), strict=True):
        assert one["values"]["tau_calibration/mse"] == pytest.approx(error(factor), rel=1e-4)
        assert one["interventions"]["base"]["higgs_id/auc"] == one["values"]["higgs_id/auc"]
        # the truth does not shift: with it in place of the taus all is as it was
        truth = one["interventions"]["groups"][-1]["values"]
        assert truth == told["interventions"]["groups"][-1]["values"]
        assert 0 < one["score"]["1"]["distance"] < 0.5


def cartesian(momenta: np.ndarray) -> np.ndarray:
    pt, eta, phi = np.moveaxis(momenta, -1, 0)
    return np.stack((pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)), -1)


TOY = ["problem=toy", "data.events=400", "trainer=cpu", "logger=none", *epochs(2)]
X = ["shift@shifts.x=jet_energy_scale", "shifts.x.field=x", "shifts.x.entries=[0]"]


@pytest.fixture(scope="module")
def shifted_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("shifted") / "runs"
    words = [*TOY, *X, "shifts.x.size=2", f"output={output}", "method.select_by=worst_case"]
    run(compose_config(words), console=QUIET)
    return next(output.glob("toy/spos/*/result.json")).parent


def test_a_run_selects_by_the_worst_case_and_tells_what_others_would_be_chosen(
    shifted_run: Path,
) -> None:
    result = Result.read(shifted_run)
    ranked = [one for one in result.chains if one["stage"] == "search"]
    assert all(one["shifted"].keys() == {"x up", "x down"} for one in ranked)
    losses = {"nothing": lambda one: one["valid"]["loss"]}
    losses |= {way: lambda one, way=way: one["shifted"][way] for way in ("x up", "x down")}
    losses["worst_case"] = lambda one: max(
        losses[way](one) for way in ("nothing", "x up", "x down")
    )
    best = {way: min(ranked, key=loss) for way, loss in losses.items()}
    assert result.selected == best["worst_case"]["selected"]
    assert result.selected != best["nothing"]["selected"]  # else it would be no test
    assert result.shifts is not None
    choice = {one["shift"]: one for one in result.shifts["choice"]}
    assert list(choice) == ["x up", "x down", "worst_case"]
    for way, told in choice.items():
        assert told["selected"] == best[way]["selected"]
        regret = losses[way](best["worst_case"]) - losses[way](best[way])
        assert told["regret"] == pytest.approx(regret, abs=1e-12)


def test_grid_search_selects_by_the_worst_case_too(tmp_path: Path) -> None:
    words = [*TOY, *X, "shifts.x.size=0.7", f"output={tmp_path}", "method=grid_search"]
    words += ["candidate/toy_regression=[plane,line]", "candidate/toy_classification=[logistic]"]
    result = run(compose_config([*words, "method.select_by=worst_case"]), console=QUIET)
    ranked = [one for one in result["chains"] if one["stage"] == "search"]
    worst = [max(one["valid"]["loss"], *one["shifted"].values()) for one in ranked]
    assert result["selected"] == ranked[int(np.argmin(worst))]["selected"]


def test_the_command_tells_what_the_run_told(
    shifted_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {
        path: path.read_bytes() for path in shifted_run.parents[2].rglob("*") if path.is_file()
    }
    out = tmp_path / "out.json"
    evaluate_main([f"run={shifted_run}", "shifts=x", f"out={out}"])
    (again,) = json.loads(out.read_text())
    told = Result.read(shifted_run)
    assert again["shifts"] == told.shifts
    assert again["values"] == told.test
    said = " ".join(capsys.readouterr().out.split())
    assert "Under shifts of the inputs, test events" in said
    assert "The choice under shifts" in said
    # another size, validation events, another shift beside
    changes = {
        "shifts.x.size": "0",
        "shifts.track_scale.field": "x",
        "shifts.track_scale.axis": "-1",
    }
    (other,) = evaluate_run(
        Settings(run=str(shifted_run), shifts=["x", "track_scale"], part=Part.valid),
        changes,
    )
    none = other["shifts"]["points"][0]
    assert {name: none[name] for name in ("values", "interventions", "leakage")} == {
        name: other[name] for name in ("values", "interventions", "leakage")
    }
    assert none["score"]["1"].pop("distance") == 0
    assert none["score"] == other["shifts"]["score"]
    assert [one["shift"] for one in other["shifts"]["points"]] == ["x"] * 2 + ["track_scale"] * 2
    after = {
        path: path.read_bytes() for path in shifted_run.parents[2].rglob("*") if path.is_file()
    }
    assert after == before


def test_without_its_store_a_run_tells_all_but_the_choice(
    shifted_run: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "toy" / "spos" / shifted_run.name
    shutil.copytree(shifted_run, copied)
    (found,) = evaluate_run(Settings(run=str(copied), shifts=["x"]), {})
    told = Result.read(shifted_run).shifts
    assert told is not None
    assert found["shifts"] == {name: told[name] for name in ("score", "points")}  # type: ignore[literal-required]
    assert not (tmp_path / "cache").exists()


def test_a_judge_tells_validity_under_shifts(event_file: Path, tmp_path: Path) -> None:
    words = [one for one in small_run(event_file, tmp_path) if not one.endswith("validity=null")]
    words += ["method=fixed_chain", "method.chain=[sf,mass]", "shift@shifts.j=jet_energy_scale"]
    words += ["tasks.tau_calibration.validity.epochs=1"]
    result = run(compose_config(words), console=QUIET)
    (directory,) = (path.parent for path in tmp_path.rglob("result.json"))
    (again,) = evaluate_run(Settings(run=str(directory), shifts=["j"]), {})
    assert again["values"] == result["metrics"]["test"]
    assert again["shifts"] == result["shifts"]
    joint = [one["values"]["validity/joint"] for one in again["shifts"]["points"]]
    assert all(0 <= one <= 1 for one in joint)


def test_the_commands_of_the_page(compose: Compose, tmp_path: Path) -> None:
    run(compose("method=fixed_chain", "method.chain=[sf,mass]"), console=QUIET)
    (directory,) = (path.parent for path in tmp_path.rglob("result.json"))
    for command in commands("docs/shifts.md"):
        name, *words = shlex.split(command)[1:]
        if name == "train.py":
            run(compose(*words), console=QUIET)
        else:
            evaluate_main(
                [word.replace("runs/htautau/spos/<key>", str(directory)) for word in words[1:]]
            )


def test_a_declared_shift_makes_another_run_of_the_same_trainings(shifted_run: Path) -> None:
    plain, other = (make_plan(compose_config([*TOY, *more])) for more in ([], X))
    assert "shifts" not in plain.config
    assert plain.key != other.key
    output = f"output={shifted_run.parents[2]}"
    result = run(compose_config([*TOY, output]), console=QUIET)
    assert all(
        not stage["seconds"] or name == "posttrain" for name, stage in result["stages"].items()
    )
    assert "shifts" not in result
    assert not any("shifted" in one for one in result["chains"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["shifts.x.field=jets"], r"shifts\.x\.field: 'jets' is not a field; fields are"),
        (["shifts.x.size=-1"], r"shifts\.x: .*size: expected a number >= 0, found -1"),
        (["shifts.x.entries=[2]"], r"shifts\.x\.entries: expected some of \[0, 1\] along axis -1"),
        (["shifts.x.axis=-3"], r"shifts\.x\.entries: expected some of \[\] along axis -3"),
        (["shift@shifts.n=pixel_noise"], r"shifts\.n\.field: 'image' is not a field"),
        (
            ["shift@shifts.n=pixel_nose"],
            r"shift: 'pixel_nose' is no option; did you mean pixel_noise",
        ),
        (
            ["shifts.x.share=1"],
            r"shifts\.x\.share: unknown; Scale takes field, size, entries, axis",
        ),
        (
            ["method.select_by=worst"],
            r"method\.select_by: expected one of \['loss', 'worst_case'",
        ),
    ],
    ids=lambda one: one[0] if isinstance(one, list) else "",
)
def test_what_cannot_be_shifted(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run(compose_config([*TOY, *X, *words]), console=QUIET)


def test_the_worst_case_is_of_shifts() -> None:
    with pytest.raises(ConfigError, match=r"method\.select_by: worst_case needs shifts"):
        run(compose_config([*TOY, "method.select_by=worst_case"]), console=QUIET)


def test_data_without_the_decays(compose: Compose, event_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "few.h5"
    with h5py.File(event_file) as whole, h5py.File(file, "w") as few:
        for name in ("jet", "image", "tau", "label"):
            few[name] = whole[name][()]
    words = ("shift@shifts.taus=tau_energy_scale", f"data.file={file}", "method=fixed_chain")
    with pytest.raises(DataError, match=r"few\.h5: missing key 'tau_decay'"):
        run(compose(*words, "method.chain=[sf,mass]"), console=QUIET)


@pytest.mark.parametrize(
    ("shifts", "changes", "said"),
    [
        (["jets"], {}, r"shifts: 'jets' is none of the run's own \['x'\] and no option"),
        (["x"], {"shifts.y.size": "1"}, r"shifts\.y\.size: no value of a shift; values are \['sh"),
        (["x"], {"shifts.x.size": "["}, r"shifts\.x\.size: found '\[', expected a value of YAML"),
        (
            ["x"],
            {"shifts.x.size": "big"},
            r"shifts\.x: .*size: expected a number >= 0, found 'big'",
        ),
        (["track_scale"], {}, r"shifts\.track_scale\.field: 'image' is not a field"),
    ],
    ids=["unknown", "of another", "no yaml", "no number", "no field"],
)
def test_what_the_command_refuses(
    shifts: list[str], changes: dict[str, str], said: str, shifted_run: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        evaluate_run(Settings(run=str(shifted_run), shifts=shifts), changes)
