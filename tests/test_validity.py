"""Validity: a known mean and noise are recovered, and the band says what it claims to say."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from msnas.build import build
from msnas.data.event_file import EventFile
from msnas.data.events import Batch, load_events
from msnas.data.fields import ClassLabel, Field, JetMomentum, TauMomentum
from msnas.errors import ConfigError, TrainingError
from msnas.evaluation.gaussian_process import GaussianProcess, fit_gaussian_process
from msnas.evaluation.validity import EXPECTED_COVERAGE, Validity
from msnas.momentum import wrap_angle

ROOT = Path(__file__).parents[1]
NOISE = torch.tensor([0.2, 0.3, 0.2])
VARIABLES = ["a", "b", "angle"]
SMALL: dict[str, Any] = {
    "inputs": ["x"],
    "variables": VARIABLES,
    "residual_of": "guess",
    "angles": [2],
    "inducing": 16,
    "latents": 3,
    "ard": True,
    "epochs": 40,
    "batch": 128,
    "lr": 3e-2,
    "calibrate": True,
}
QUICK = {"inducing": 8, "epochs": 2, "batch": 100}


def validity(**changes: Any) -> Validity:
    return Validity(**{**SMALL, **changes})


def make_part(events: int, *, seed: int, uniform: bool = False) -> Batch:
    """`truth` [event, 3] is `mean` and noise of known size; all its angles are close to +-pi.

    `guess` [event, 4] is the mean without a smooth function of x, and a number of no meaning.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(events, 2, generator=generator) * 2 - 1
    guess = torch.stack([x[:, 0], x[:, 1], math.pi + 0.2 * x[:, 0], torch.zeros(events)], 1)
    smooth = torch.stack([torch.sin(2 * x[:, 0]), x[:, 0] * x[:, 1], 0.3 * x[:, 1]], 1)
    if uniform:
        noise = (torch.rand(events, 3, generator=generator) * 2 - 1) * math.sqrt(3)
    else:
        noise = torch.randn(events, 3, generator=generator)
    mean = guess[:, :3] + smooth
    part = {"x": x, "guess": guess, "mean": mean, "truth": mean + NOISE * noise}
    for name in ("guess", "mean", "truth"):
        part[name][:, 2] = wrap_angle(part[name][:, 2])
    return part


@dataclass(frozen=True)
class Fitted:
    judge: Validity
    weights: dict[str, Tensor]
    losses: list[tuple[int, float]]


@pytest.fixture(scope="module")
def train() -> Batch:
    return make_part(2000, seed=1)


@pytest.fixture(scope="module")
def valid() -> Batch:
    return make_part(1000, seed=2)


@pytest.fixture(scope="module")
def other() -> Batch:
    """Events that no fit has seen."""
    return make_part(4000, seed=3)


@pytest.fixture(scope="module")
def few() -> Batch:
    return make_part(300, seed=4)


@pytest.fixture(scope="module")
def fitted(train: Batch, valid: Batch) -> Fitted:
    losses: list[tuple[int, float]] = []
    judge = validity()
    weights = judge.fit(
        train, valid, target="truth", seed=0, on_epoch=lambda *epoch: losses.append(epoch)
    )
    return Fitted(judge, weights, losses)


def band(fitted: Fitted, part: Batch) -> tuple[Tensor, Tensor]:
    """Mean and sigma of the truth, the mean's angle wherever it falls."""
    mean, sigma = GaussianProcess.restored(fitted.weights).band(part["x"])
    return part["guess"][:, :3] + mean, sigma


def distance(one: Tensor, two: Tensor) -> Tensor:
    difference = one - two
    difference[:, 2] = wrap_angle(difference[:, 2])
    return difference


# --- a known mean and noise are recovered --------------------------------------------------------


def test_the_truth_is_inside_as_often_as_expected(fitted: Fitted, other: Batch) -> None:
    found = fitted.judge.measure(fitted.weights, other, other["truth"], target="truth")
    # 4 standard errors of 4,000 events, and as much again for the calibration on 3,000
    for share in found["validity/truth_per_variable"].values():
        assert share == pytest.approx(0.9545, abs=0.02)
    assert found["validity/truth_joint"] == pytest.approx(0.9545**3, abs=0.03)
    assert found["validity/per_variable"] == found["validity/truth_per_variable"]
    assert found["validity/joint"] == found["validity/truth_joint"]


def test_mean_and_sigma_are_the_known_ones(fitted: Fitted, other: Batch) -> None:
    mean, sigma = band(fitted, other)
    error = distance(mean, other["mean"]).square().mean(0).sqrt()
    assert (error < 0.25 * NOISE).all()
    torch.testing.assert_close(sigma.mean(0), NOISE, rtol=0.08, atol=0)


def test_negative_log_density_is_the_entropy_of_the_noise(fitted: Fitted, other: Batch) -> None:
    entropy = float((0.5 + (NOISE * math.sqrt(2 * math.pi)).log()).sum())
    found = fitted.judge.measure(fitted.weights, other, other["truth"], target="truth")
    assert found["validity/negative_log_density"] == pytest.approx(entropy, abs=0.08)


def test_calibration_of_normal_noise_changes_little(fitted: Fitted) -> None:
    torch.testing.assert_close(fitted.weights["sigma_factor"], torch.ones(3), rtol=0.1, atol=0)


def test_calibration_corrects_noise_that_is_not_normal() -> None:
    """Uniform noise never exceeds sqrt(3) sigma: the 2-sigma band of its variance holds it all."""
    train, valid, other = (
        make_part(events, seed=seed, uniform=True)
        for events, seed in ((1500, 1), (500, 2), (3000, 3))
    )
    shares = {}
    for calibrate in (False, True):
        judge = validity(calibrate=calibrate, epochs=15)
        weights = judge.fit(train, valid, target="truth", seed=0)
        found = judge.measure(weights, other, other["truth"], target="truth")
        shares[calibrate] = min(found["validity/truth_per_variable"].values())
    assert shares[False] > 0.985
    assert shares[True] == pytest.approx(0.9545, abs=0.025)


def test_expected_coverage_is_that_of_two_sigma() -> None:
    inside = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0)).abs() < 2
    assert abs(EXPECTED_COVERAGE - 0.9544997) < 1e-7
    assert abs(EXPECTED_COVERAGE - float(inside.float().mean())) < 1e-3


# --- what the band says --------------------------------------------------------------------------


def test_the_band_includes_the_noise(fitted: Fitted, other: Batch) -> None:
    """The band of the functions alone, without the likelihood, would miss most of the truth."""
    process = GaussianProcess.restored(fitted.weights)
    scaled = (other["x"][:500] - process.input_center) / process.input_scale
    with torch.no_grad():
        narrow = process.functions(scaled).variance.sqrt() * process.output_scale
    mean, wide = band(fitted, other)
    error = distance(other["truth"], mean)[:500].abs()
    assert (narrow < 0.5 * wide[:500]).all()
    assert float((error <= 2 * narrow).all(1).float().mean()) < 0.3
    assert float((error <= 2 * wide[:500]).all(1).float().mean()) > 0.8


def test_a_perfect_mean_is_valid(fitted: Fitted, other: Batch) -> None:
    found = fitted.judge.measure(fitted.weights, other, other["mean"], target="truth")
    assert found["validity/joint"] > 0.999
    assert found["validity/truth_joint"] < 0.9


@pytest.mark.parametrize("index", [0, 1, 2])
def test_an_output_ten_sigma_off_is_not(fitted: Fitted, other: Batch, index: int) -> None:
    mean, sigma = band(fitted, other)
    mean[:, index] += 10 * sigma[:, index]
    found = fitted.judge.measure(fitted.weights, other, mean, target="truth")
    assert found["validity/joint"] == 0
    expected = {name: float(place != index) for place, name in enumerate(VARIABLES)}
    assert found["validity/per_variable"] == expected


def test_the_edge_of_the_band_is_two_sigma(fitted: Fitted, other: Batch) -> None:
    mean, sigma = band(fitted, other)
    for step, share in ((1.99, 1.0), (-1.99, 1.0), (2.01, 0.0), (-2.01, 0.0)):
        found = fitted.judge.measure(fitted.weights, other, mean + step * sigma, target="truth")
        assert found["validity/joint"] == share


@pytest.mark.parametrize("turns", [-1, 1])
def test_angles_are_compared_on_the_circle(fitted: Fitted, other: Batch, turns: int) -> None:
    assert other["truth"][:, 2].min() < -3 < 3 < other["truth"][:, 2].max()
    turned = band(fitted, other)[0] + turns * torch.tensor([0.0, 0.0, 2 * math.pi])
    found = fitted.judge.measure(fitted.weights, other, turned, target="truth")
    assert found["validity/per_variable"]["angle"] == 1
    straight = validity(angles=[]).measure(fitted.weights, other, turned, target="truth")
    assert straight["validity/per_variable"]["angle"] == 0


def test_an_output_that_is_not_finite_is_not_valid(fitted: Fitted, other: Batch) -> None:
    broken = other["mean"].clone()
    broken[: len(broken) // 2, 0] = math.nan
    found = fitted.judge.measure(fitted.weights, other, broken, target="truth")
    assert found["validity/per_variable"]["a"] == pytest.approx(0.5, abs=0.001)
    assert found["validity/per_variable"]["b"] > 0.999


def test_measuring_changes_no_tensor(fitted: Fitted, few: Batch) -> None:
    before = {name: value.clone() for name, value in {**few, **fitted.weights}.items()}
    fitted.judge.measure(fitted.weights, few, few["truth"], target="truth")
    for name, value in {**few, **fitted.weights}.items():
        assert torch.equal(value, before[name])


def test_blocks_do_not_change_the_band(fitted: Fitted, other: Batch) -> None:
    mean, sigma = band(fitted, other)
    pieces = [band(fitted, {k: v[n : n + 333] for k, v in other.items()}) for n in (0, 333)]
    torch.testing.assert_close(torch.cat([piece[0] for piece in pieces]), mean[:666])
    torch.testing.assert_close(torch.cat([piece[1] for piece in pieces]), sigma[:666])


# --- what decides the weights --------------------------------------------------------------------


def test_same_seed_same_weights_and_no_global_randomness(few: Batch) -> None:
    judge = validity(**QUICK)
    state = torch.get_rng_state()
    one = judge.fit(few, few, target="truth", seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    two = judge.fit(few, few, target="truth", seed=5)
    assert one.keys() == two.keys()
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    three = judge.fit(few, few, target="truth", seed=6)
    assert any(not torch.equal(value, three[name]) for name, value in one.items())


def test_weights_survive_a_file(fitted: Fitted, other: Batch, tmp_path: Path) -> None:
    torch.save(fitted.weights, tmp_path / "weights.pt")
    loaded = torch.load(tmp_path / "weights.pt", weights_only=True)
    assert loaded.keys() == fitted.weights.keys()
    # exact equality, the calibration included
    assert fitted.judge.measure(
        loaded, other, other["mean"], target="truth"
    ) == fitted.judge.measure(fitted.weights, other, other["mean"], target="truth")
    assert "sigma_factor" in loaded


def test_fit_sees_the_training_and_the_validation_part_only() -> None:
    assert list(inspect.signature(Validity.fit).parameters) == [
        "self",
        "train",
        "valid",
        "target",
        "seed",
        "device",
        "on_epoch",
    ]


def test_validation_events_only_calibrate(few: Batch, valid: Batch) -> None:
    def weights(second: Batch, *, calibrate: bool) -> dict[str, Tensor]:
        judge = validity(**QUICK, calibrate=calibrate)
        return judge.fit(few, second, target="truth", seed=0)

    reference = weights(few, calibrate=True)
    for calibrate in (True, False):
        found = weights(valid, calibrate=calibrate)
        changed = {name for name in found if not torch.equal(found[name], reference[name])}
        assert changed == {"sigma_factor"}
    assert torch.equal(found["sigma_factor"], torch.ones(3))


@pytest.mark.parametrize(
    "change",
    [
        {"inducing": 9},
        {"latents": 2},
        {"ard": False},
        {"epochs": 3},
        {"batch": 64},
        {"lr": 1e-2},
        {"calibrate": False},
        {"angles": []},
        {"residual_of": None},
        {"inputs": ["x", "guess"]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_has_an_effect(few: Batch, change: dict[str, Any]) -> None:
    one = validity(**QUICK).fit(few, few, target="truth", seed=0)
    two = validity(**{**QUICK, **change}).fit(few, few, target="truth", seed=0)
    assert any(
        value.shape != two[name].shape or not torch.equal(value, two[name])
        for name, value in one.items()
    )


def test_epochs_are_reported_and_the_loss_falls(fitted: Fitted) -> None:
    assert [epoch for epoch, _ in fitted.losses] == list(range(1, 41))
    losses = [loss for _, loss in fitted.losses]
    assert losses[-1] < losses[4] < losses[0]


# --- any regression ------------------------------------------------------------------------------


def test_ten_times_the_events_cost_no_more_and_do(
    other: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    step = torch.optim.Adam.step

    def counted(optimizer: torch.optim.Adam) -> None:
        steps.append(1)
        step(optimizer)

    monkeypatch.setattr(torch.optim.Adam, "step", counted)
    monkeypatch.setattr("msnas.evaluation.gaussian_process.MOST_STEPS", 16)
    judge = validity(epochs=20)
    many, valid = make_part(20_000, seed=11), make_part(1000, seed=12)
    weights = judge.fit(many, valid, target="truth", seed=0)
    assert len(steps) == 16 * 20  # 2,000 of 20,000 events each
    mean, sigma = band(Fitted(judge, weights, []), other)
    error = distance(mean, other["mean"]).square().mean(0).sqrt()
    assert (error < 0.25 * NOISE).all()
    torch.testing.assert_close(sigma.mean(0), NOISE, rtol=0.08, atol=0)


def test_particles_and_single_numbers_are_flattened(few: Batch) -> None:
    pairs = {
        "x": few["x"],
        "jet": few["guess"].repeat(1, 2).view(-1, 2, 4),
        "tau": few["truth"].repeat(1, 2).view(-1, 2, 3),
    }
    names = ["pt_1", "eta_1", "phi_1", "pt_2", "eta_2", "phi_2"]
    judge = validity(
        **QUICK, inputs=["x", "jet"], variables=names, residual_of="jet", angles=[2, 5]
    )
    weights = judge.fit(pairs, pairs, target="tau", seed=0)
    assert weights["input_center"].shape == (10,)
    found = judge.measure(weights, pairs, pairs["tau"], target="tau")
    assert list(found["validity/truth_per_variable"]) == names

    single = {"x": few["x"][:, 0], "y": few["truth"][:, 0]}
    judge = validity(**QUICK, variables=["y"], residual_of="x", angles=[])
    weights = judge.fit({**single, "x": single["x"]}, single, target="y", seed=0)
    found = judge.measure(weights, single, single["y"], target="y")
    assert found["validity/truth_per_variable"]["y"] == found["validity/truth_joint"]


def test_fewer_events_than_points_and_a_constant_input() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.cat([torch.rand(20, 1, generator=generator), torch.ones(20, 1)], 1)
    process = fit_gaussian_process(
        inputs, inputs[:, :1], inducing=64, latents=1, ard=True, epochs=3, batch=7, lr=1e-2, seed=0
    )
    mean, sigma = process.band(inputs)
    assert mean.shape == sigma.shape == (20, 1)
    assert torch.isfinite(mean).all()
    assert (sigma > 0).all()


def test_units_of_inputs_and_targets_do_not_matter(few: Batch) -> None:
    settings: dict[str, Any] = {"inducing": 8, "latents": 2, "ard": True}
    settings |= {"epochs": 3, "batch": 100, "lr": 1e-2, "seed": 0}
    x, y = few["x"], few["truth"][:, :2]
    mean, sigma = fit_gaussian_process(x, y, **settings).band(x)
    # powers of two, so that the scaled numbers are the same to the last digit
    other_mean, other_sigma = fit_gaussian_process(x * 1024, y / 64, **settings).band(x * 1024)
    torch.testing.assert_close(other_mean * 64, mean)
    torch.testing.assert_close(other_sigma * 64, sigma)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": []}, r"validity\.inputs: expected different names"),
        ({"variables": "???"}, r"validity\.variables: expected different names, found '\?\?\?'"),
        ({"variables": ["a", "a", "b"]}, r"validity\.variables"),
        ({"angles": [3]}, r"validity\.angles: .* 0 to 2, found \[3\]"),
        ({"inducing": 0}, r"validity\.inducing: expected a whole number >= 1, found 0"),
        ({"latents": 1.5}, r"validity\.latents"),
        ({"epochs": True}, r"validity\.epochs"),
        ({"batch": -1}, r"validity\.batch"),
        ({"lr": 0.0}, r"validity\.lr: expected a number > 0, found 0.0"),
    ],
)
def test_settings_out_of_range_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validity(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": ["jet"]}, r"validity\.inputs: 'jet' is not in the data; there are \['guess',"),
        ({"residual_of": "jet"}, r"validity\.residual_of: 'jet' is not in the data"),
        ({"residual_of": "x"}, r"residual_of: 'x' has leading components of shape \[300, 2\]"),
        ({"variables": ["a"], "angles": []}, r"1 names \['a'\], but truth has 3 numbers per event"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    few: Batch, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        validity(**QUICK, **change).fit(few, few, target="truth", seed=0)


def test_a_diverging_training_is_reported(few: Batch) -> None:
    with pytest.raises(TrainingError, match=r"diverged in epoch \d+ with lr=1e\+30"):
        validity(**{**QUICK, "epochs": 20}, lr=1e30).fit(few, few, target="truth", seed=0)


# --- the configuration and the embedded events ---------------------------------------------------


def configured(name: str) -> Validity:
    config = OmegaConf.load(ROOT / "conf" / "validity" / f"{name}.yaml")
    task = {"variables": ["pt_1", "eta_1", "phi_1", "pt_2", "eta_2", "phi_2"], "angles": [2, 5]}
    judge = build(OmegaConf.merge(config, task), key="validity", of=Validity)
    return judge


@pytest.mark.parametrize("name", ["gaussian_process", "paper"])
def test_configurations_leave_only_the_variables_to_the_task(name: str) -> None:
    judge = configured(name)
    assert judge.calibrate == (name == "gaussian_process")
    config = OmegaConf.load(ROOT / "conf" / "validity" / f"{name}.yaml")
    with pytest.raises(ConfigError, match=r"^validity\.variables: required, but not given"):
        build(config, key="validity", of=Validity)


@pytest.mark.slow
@pytest.mark.parametrize("split_seed", [0, 1, 2])
def test_embedded_events_lie_in_the_band_as_often_as_expected(split_seed: int) -> None:
    fields: dict[str, Field] = {
        "jet": JetMomentum(shape=[2, 4]),
        "tau": TauMomentum(shape=[2, 3]),
        "label": ClassLabel(classes=2),
    }
    events = load_events(
        EventFile(file=str(ROOT / "data" / "htautau.h5")),
        fields,
        events=10_000,
        split_seed=split_seed,
        fractions={"train": 0.6, "valid": 0.2, "test": 0.2},
        stratify="label",
        where="htautau.h5",
    )
    found = {}
    for name in ("gaussian_process", "paper"):
        judge = configured(name)
        weights = judge.fit(events.train, events.valid, target="tau", seed=0)
        found[name] = judge.measure(weights, events.test, events.test["tau"], target="tau")
    ours, paper = found["gaussian_process"], found["paper"]
    for share in ours["validity/truth_per_variable"].values():
        assert 0.93 < share < 0.97
    # the paper's band is far wider than the truth's spread in both angles
    assert paper["validity/truth_per_variable"]["phi_1"] > 0.99
    assert ours["validity/negative_log_density"] < paper["validity/negative_log_density"] - 3
