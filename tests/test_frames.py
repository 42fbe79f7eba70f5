"""Events in a canonical frame: an exact symmetry, undone in all that is put out."""

from __future__ import annotations

import math
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from conftest import QUIET, Compose, compose_config

import msnas
from msnas.data.frames import TURN, Canonical
from msnas.errors import ConfigError, DataError
from msnas.momentum import encode_pt, turn_back
from msnas.parts import read_events
from msnas.plan import make_plan
from msnas.run import run

Arrays = dict[str, np.ndarray]
FRAME = Canonical(jets="jet", momenta=["jet", "tau"], images=["image"])


@pytest.fixture
def raw(event_file: Path) -> Arrays:
    with h5py.File(event_file) as file:
        return {name: file[name][:80] for name in ("jet", "image", "tau", "label")}


def turned(raw: Arrays, *, angle: float, mirror_phi: bool, mirror_eta: bool) -> Arrays:
    """The same collisions in a detector that stands otherwise."""
    found = {name: value.copy() for name, value in raw.items()}
    for name in ("jet", "tau"):
        phi = found[name][..., 2].astype(float) * (-1 if mirror_phi else 1) + angle
        found[name][..., 2] = np.remainder(phi + math.pi, 2 * math.pi) - math.pi
        found[name][..., 1] *= -1 if mirror_eta else 1
    if mirror_phi:
        found["image"] = found["image"][..., ::-1]
    if mirror_eta:
        found["image"] = found["image"][..., ::-1, :]
    return found


WAYS = [
    {"angle": 0.7, "mirror_phi": False, "mirror_eta": False},
    {"angle": 0.0, "mirror_phi": True, "mirror_eta": False},
    {"angle": 0.0, "mirror_phi": False, "mirror_eta": True},
    {"angle": -3.0, "mirror_phi": True, "mirror_eta": True},
]


def apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Differences of momenta, angles on the circle."""
    difference = one.astype(float) - other
    difference[..., 2] = np.remainder(difference[..., 2] + math.pi, 2 * math.pi) - math.pi
    return np.abs(difference)


def test_where_the_jets_are(raw: Arrays) -> None:
    found, turn = FRAME.turn(raw, where="here")
    jets = found["jet"]
    assert np.abs(jets[:, 0, 2]).max() == 0
    assert jets[:, 0, 1].min() >= 0
    assert jets[:, 1, 2].min() >= 0
    assert turn.shape == (80, 3)
    for component in (0, 3):
        assert (jets[..., component] == raw["jet"][..., component]).all()
    for name in ("image", "label"):
        assert found[name].sum() == pytest.approx(raw[name].sum(), rel=1e-6)
    # the image is mirrored with its jet: where its energy lies follows the tau
    assert (found["image"] != raw["image"]).any()


@pytest.mark.parametrize("way", WAYS)
def test_an_event_turned_beforehand_is_the_same_event(raw: Arrays, way: dict[str, float]) -> None:
    before, _ = FRAME.turn(raw, where="here")
    after, _ = FRAME.turn(turned(raw, **way), where="here")  # type: ignore[arg-type]
    for name in ("jet", "tau"):
        assert apart(before[name], after[name]).max() < 2e-6
    assert (before["image"] == after["image"]).all()


def test_there_and_back_again(raw: Arrays) -> None:
    found, turn = FRAME.turn(raw, where="here")
    encoded = torch.from_numpy(found["tau"].copy())
    encoded[..., 0] = encode_pt(encoded[..., 0])
    back = turn_back(encoded, torch.from_numpy(turn)).numpy()
    expected = raw["tau"].copy()
    expected[..., 0] = np.log(0.1 + expected[..., 0])
    assert apart(back, expected).max() < 2e-6


def test_events_turned_back_are_those_of_the_file(compose: Compose) -> None:
    plain = read_events(make_plan(compose()))
    framed = read_events(make_plan(compose("frame=canonical")))
    for part in ("train", "valid", "test"):
        detector, expected = framed.in_detector(getattr(framed, part)), getattr(plain, part)
        assert apart(detector["tau"].numpy(), expected["tau"].numpy()).max() < 2e-6
        assert apart(detector["jet"].numpy(), expected["jet"].numpy()).max() < 2e-6
        assert TURN in getattr(framed, part)
        assert TURN not in expected


def test_a_run_puts_out_what_the_detector_sees(
    compose: Compose, raw: Arrays, tmp_path: Path
) -> None:
    cfg = compose("frame=canonical", "candidate/tau_calibration=[sf]", "method=fixed_chain")
    cfg.method.chain = ["sf", "mlp"]
    cfg.tasks.tau_calibration.validity = compose_config([]).tasks.tau_calibration.validity
    cfg.tasks.tau_calibration.validity.epochs = 1
    result = run(cfg, console=QUIET)
    directory = next(tmp_path.rglob("result.json")).parent
    assert 0 <= result["metrics"]["test"]["validity/joint"] <= 1
    assert list(torch.load(directory / "judges.ckpt", weights_only=True)) == ["tau_calibration"]
    plain = read_events(make_plan(compose()))
    with h5py.File(directory / "outputs.h5") as file:
        target = file["tau_calibration/target"][()]
        output = file["tau_calibration/output"][()]
        jets = file["inputs/jet"][()]
    expected = plain.test["tau"].numpy().copy()
    expected[..., 0] = np.exp(expected[..., 0]) - 0.1
    assert apart(target, expected)[..., 1:].max() < 2e-6
    assert np.abs(target[..., 0] / expected[..., 0] - 1).max() < 1e-4
    # the scale factors hardly move a direction: the output points where the jet does
    assert np.median(apart(output, jets[..., :3])[..., 2]) < 0.5
    # the same score, and taus turned along, for the same collisions turned
    best = msnas.load(directory)
    assert "judges.ckpt" in best.result.files
    before = best.predict(raw)
    for way in WAYS:
        after = best.predict(turned(raw, **way))  # type: ignore[arg-type]
        np.testing.assert_allclose(after["higgs_id"], before["higgs_id"], atol=1e-5)
        moved = turned({**raw, "tau": before["tau_calibration"]}, **way)["tau"]  # type: ignore[arg-type]
        assert apart(after["tau_calibration"], moved)[..., 1:].max() < 1e-4


def test_a_frame_without_its_jets_is_refused(tmp_path: Path) -> None:
    words = ["problem=toy", "trainer=cpu", "frame=canonical", f"output={tmp_path}"]
    with pytest.raises(ConfigError, match=r"data\.frame\.momenta: .*'data\.momenta' not found"):
        make_plan(compose_config(words))
    plan = make_plan(compose_config([*words, "+data.momenta=[x]", "+data.images=[x]"]))
    with pytest.raises(DataError, match=r"data\.frame\.jets: 'jet' is no array"):
        read_events(plan)


def test_no_frame_changes_no_key() -> None:
    plain, framed = (
        make_plan(compose_config(["trainer=cpu", f"frame={name}"]))
        for name in ("detector", "canonical")
    )
    assert "frame" not in plain.config["data"]
    assert plain.key != framed.key
