"""One contract for every candidate file of the two-tau problem, and what each one computes."""

from __future__ import annotations

import copy
import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CONF, HTAUTAU_TASKS, compose_config, small_run
from omegaconf import OmegaConf
from torch import Tensor, nn

from msnas.candidates.mass import invariant_mass
from msnas.candidates.noise import Noise
from msnas.chain.candidate_grid import expand_grids
from msnas.chain.chain import Chain
from msnas.chain.from_config import build_chain
from msnas.data.events import Batch, Events
from msnas.parts import read_events
from msnas.plan import make_plan

FILES = {
    task: sorted(path.stem for path in (CONF / "candidate" / task).glob("*.yaml"))
    for task in HTAUTAU_TASKS
}


def names(task: str) -> list[str]:
    """Candidates of all files of a task; one with a grid stands for several."""
    folder = CONF / "candidate" / task
    contents = {
        file: OmegaConf.to_container(OmegaConf.load(folder / f"{file}.yaml"))
        for file in FILES[task]
    }
    return list(expand_grids(contents, key=task))


NAMES = {task: names(task) for task in HTAUTAU_TASKS}
ALL = [(task, name) for task in HTAUTAU_TASKS for name in NAMES[task]]
DUMMIES = {(task, name) for task in HTAUTAU_TASKS for name in ("zeros", "noise")}
NETWORKS = [one for one in ALL if one not in DUMMIES]

PARAMETERS = {
    ("tau_calibration", "mlp"): (
        # image 768-16-16-16-4, then 8-32-32-3
        (768 * 16 + 16) + 2 * (16 * 16 + 16) + (16 * 4 + 4)
        + (8 * 32 + 32) + (32 * 32 + 32) + (32 * 3 + 3)
    ),
    ("tau_calibration", "cnn"): (
        # 3-32 of 3x3, 32-16 of 3x3, 16-16 of 2x2, 16-8 of 2x2; 16, 14, 12, half is 6, 5, 4 pixels
        (3 * 32 * 9 + 32) + (32 * 16 * 9 + 16) + (16 * 16 * 4 + 16) + (16 * 8 * 4 + 8)
        # 8 x 4 x 4 = 128-16-16-16-4, then 8-64-64-64-3
        + (128 * 16 + 16) + 2 * (16 * 16 + 16) + (16 * 4 + 4)
        + (8 * 64 + 64) + 2 * (64 * 64 + 64) + (64 * 3 + 3)
    ),
    ("tau_calibration", "sf"): 6,
    ("higgs_id", "mlp"): (6 * 32 + 32) + 2 * (32 * 32 + 32) + (32 + 1),
    ("higgs_id", "lstm"): (
        # four gates, each with input and recurrent weights and two biases; then 32-1
        4 * (3 * 32 + 32 * 32 + 2 * 32) + 2 * 4 * (32 * 32 + 32 * 32 + 2 * 32) + (32 + 1)
    ),
    ("higgs_id", "mass"): (1 * 64 + 64) + (64 * 64 + 64) + (64 + 1),
    **dict.fromkeys(sorted(DUMMIES), 0),
}  # fmt: skip


@pytest.fixture(scope="module")
def config(event_file: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    overrides = small_run(event_file, tmp_path_factory.mktemp("runs"))
    every = [f"candidate/{task}=[{','.join(files)}]" for task, files in FILES.items()]
    return make_plan(compose_config([*overrides, *every])).config


@pytest.fixture(scope="module")
def events(config: dict[str, Any]) -> Events:
    return read_events(make_plan(config))


@pytest.fixture(scope="module")
def fresh_chain(config: dict[str, Any]) -> Chain:
    return build_chain(config["tasks"], HTAUTAU_TASKS, seed=0)


@pytest.fixture
def chain(fresh_chain: Chain) -> Chain:
    """A test's own copy of the freshly built chain."""
    return copy.deepcopy(fresh_chain)


def inputs(chain: Chain, task: str, batch: Batch) -> Batch:
    """What a candidate of `task` reads in pre-training."""
    chosen = chain.tasks[HTAUTAU_TASKS.index(task)]
    return {name: batch[name] for name in chosen.inputs}


def first(batch: Batch, events: int) -> Batch:
    return {name: value[:events] for name, value in batch.items()}


def module(chain: Chain, task: str, name: str) -> nn.Module:
    return chain.candidate(HTAUTAU_TASKS.index(task), name)


def test_every_file_is_either_a_network_or_a_dummy(chain: Chain) -> None:
    assert {*NETWORKS, *DUMMIES} >= PARAMETERS.keys()
    for task, name in ALL:
        is_dummy = getattr(module(chain, task, name), "is_dummy", False)
        assert is_dummy == ((task, name) in DUMMIES)


@pytest.mark.parametrize(("task", "name"), ALL)
@pytest.mark.parametrize("count", [1, 2, 7])
def test_output_has_the_declared_shape(
    chain: Chain, events: Events, task: str, name: str, count: int
) -> None:
    output = module(chain, task, name)(inputs(chain, task, first(events.train, count)))
    shape = chain.tasks[HTAUTAU_TASKS.index(task)].output.shape
    assert output.shape == (count, *shape)
    assert output.dtype == torch.float32


@pytest.mark.parametrize(("task", "name"), ALL)
@pytest.mark.parametrize("size", [0.0, 1e6, -1e6])
def test_output_and_gradients_stay_finite_on_extreme_inputs(
    chain: Chain, events: Events, task: str, name: str, size: float
) -> None:
    batch = inputs(chain, task, first(events.train, 4))
    extreme = "image" if "image" in batch else "tau"
    changed = {**batch, extreme: torch.full_like(batch[extreme], size)}
    candidate = module(chain, task, name)
    output = candidate(changed)
    assert torch.isfinite(output).all()
    if output.requires_grad:
        output.mean().backward()
        for value in candidate.parameters():
            assert value.grad is None or torch.isfinite(value.grad).all()


@pytest.mark.parametrize(("task", "name"), NETWORKS)
def test_training_lowers_its_own_loss(chain: Chain, events: Events, task: str, name: str) -> None:
    level = HTAUTAU_TASKS.index(task)
    batch = first(events.train, 64)
    optimizer = torch.optim.Adam(module(chain, task, name).parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        output = chain.run_on_truth(batch, level, name)
        loss = chain.tasks[level].mean_loss(output, batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 1e-3
    assert math.isfinite(losses[-1])


@pytest.mark.parametrize(("task", "name"), NETWORKS)
def test_initial_weights_depend_on_seed_task_and_name_alone(
    config: dict[str, Any], task: str, name: str
) -> None:
    other = next(one for one in NAMES[task] if one != name)
    candidates = config["tasks"][task]["candidates"]
    tasks = {
        one: {**config["tasks"][one], "candidates": {"zeros": settings["candidates"]["zeros"]}}
        for one, settings in config["tasks"].items()
    }
    alone, before, after = (
        {**tasks[task], "candidates": {one: candidates[one] for one in chosen}}
        for chosen in ([name], [name, other], [other, name])
    )

    def weights(settings: dict[str, Any], seed: int) -> dict[str, Tensor]:
        # the state of PyTorch's own generator must not matter
        torch.manual_seed(int(np.random.default_rng().integers(2**31)))
        built = build_chain({**tasks, task: settings}, HTAUTAU_TASKS, seed=seed)
        return module(built, task, name).state_dict()

    reference = weights(alone, 3)
    for settings in (alone, before, after):
        again = weights(settings, 3)
        assert all(torch.equal(reference[key], again[key]) for key in reference)
    another = weights(alone, 4)
    assert name == "sf" or any(not torch.equal(reference[key], another[key]) for key in reference)


def test_two_candidates_of_one_class_start_differently(config: dict[str, Any]) -> None:
    task = HTAUTAU_TASKS[1]
    settings = config["tasks"][task]
    twins = {**settings, "candidates": dict.fromkeys(("a", "b"), settings["candidates"]["mlp"])}
    chain = build_chain({**config["tasks"], task: twins}, HTAUTAU_TASKS, seed=0)
    first_one, second = (next(chain.candidate(1, one).parameters()) for one in ("a", "b"))
    assert not torch.equal(first_one, second)


@pytest.mark.parametrize(("task", "name"), NETWORKS)
def test_saved_weights_give_equal_outputs(
    config: dict[str, Any], events: Events, task: str, name: str
) -> None:
    kept = dict.fromkeys(HTAUTAU_TASKS, "zeros") | {task: name}
    tasks = {
        one: {
            **config["tasks"][one],
            "candidates": {chosen: config["tasks"][one]["candidates"][chosen]},
        }
        for one, chosen in kept.items()
    }
    chain, other = (build_chain(tasks, HTAUTAU_TASKS, seed=seed) for seed in (1, 2))
    source, target = module(chain, task, name), module(other, task, name)
    with torch.no_grad():
        for value in source.parameters():
            value.add_(0.01)
    batch = inputs(chain, task, first(events.valid, 9))
    expected = source(batch)
    assert not torch.equal(expected, target(batch))
    file = io.BytesIO()
    torch.save(source.state_dict(), file)
    file.seek(0)
    target.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(expected, target(batch))


@pytest.mark.parametrize(("task", "name"), list(PARAMETERS))
def test_number_of_parameters(chain: Chain, task: str, name: str) -> None:
    found = sum(value.numel() for value in module(chain, task, name).parameters())
    assert found == PARAMETERS[task, name]
    buffers = list(module(chain, task, name).buffers())
    assert not buffers


def test_number_of_parameters_of_a_chain_is_the_sum(chain: Chain) -> None:
    path = ("cnn", "lstm")
    expected = PARAMETERS["tau_calibration", "cnn"] + PARAMETERS["higgs_id", "lstm"]
    assert chain.only(path).parameter_count() == expected


@pytest.mark.parametrize(("task", "name"), ALL)
def test_events_do_not_see_each_other(chain: Chain, events: Events, task: str, name: str) -> None:
    candidate = module(chain, task, name)
    batch = inputs(chain, task, first(events.train, 5))
    changed = {key: value.clone() for key, value in batch.items()}
    for key, value in inputs(chain, task, first(events.valid, 5)).items():
        changed[key][[0, 1, 3, 4]] = value[[0, 1, 3, 4]]
    outputs = []
    for one in (batch, changed):
        torch.manual_seed(5)
        outputs.append(candidate(one))
    torch.testing.assert_close(outputs[0][2], outputs[1][2], rtol=1e-6, atol=1e-6)
    if (task, name) not in DUMMIES:
        assert not torch.allclose(outputs[0][1], outputs[1][1])


@pytest.mark.parametrize("name", [name for task, name in NETWORKS if task == "tau_calibration"])
def test_jets_share_weights(chain: Chain, events: Events, name: str) -> None:
    candidate = module(chain, "tau_calibration", name)
    batch = inputs(chain, "tau_calibration", first(events.train, 6))
    swapped = candidate({key: value.flip(1) for key, value in batch.items()})
    torch.testing.assert_close(candidate(batch).flip(1), swapped, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(candidate(batch), swapped, atol=1e-2)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_tau_networks_correct_the_jet(chain: Chain, events: Events, name: str) -> None:
    candidate = module(chain, "tau_calibration", name)
    batch = inputs(chain, "tau_calibration", first(events.train, 6))
    nn.init.zeros_(candidate.momentum_network[-1].weight)
    nn.init.constant_(candidate.momentum_network[-1].bias, 0.25)
    torch.testing.assert_close(candidate(batch), batch["jet"][..., :3] + 0.25)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_tau_networks_read_every_channel_of_their_own_jet(
    chain: Chain, events: Events, name: str, channel: int
) -> None:
    candidate = module(chain, "tau_calibration", name)
    batch = inputs(chain, "tau_calibration", first(events.train, 6))
    image = batch["image"].clone()
    image[:, 0, channel] += 50.0
    change = (candidate({**batch, "image": image}) - candidate(batch)).abs().amax((0, 2))
    assert change[0] > 1e-5
    assert change[1] < 1e-6


def test_sf_is_the_identity_at_the_start_and_linear_after(chain: Chain, events: Events) -> None:
    candidate = module(chain, "tau_calibration", "sf")
    batch = inputs(chain, "tau_calibration", events.train)
    assert torch.equal(candidate(batch), batch["jet"][..., :3])
    with torch.no_grad():
        candidate.scale.copy_(torch.tensor([2.0, 3.0, 4.0]))
        candidate.shift.copy_(torch.tensor([0.5, -1.0, 0.25]))
    jet = torch.tensor([[[1.0, 2.0, 3.0, 9.0], [-1.0, 0.0, 1.0, 9.0]]])
    expected = torch.tensor([[[2.5, 5.0, 12.25], [-1.5, -1.0, 4.25]]])
    assert torch.equal(candidate({"jet": jet, "image": batch["image"][:1]}), expected)


@pytest.mark.parametrize("task", HTAUTAU_TASKS)
def test_zeros_are_zero(chain: Chain, events: Events, task: str) -> None:
    output = module(chain, task, "zeros")(inputs(chain, task, events.train))
    assert output.count_nonzero() == 0


def test_noise_is_standard_normal_and_seeded() -> None:
    noise = Noise(shape=[2, 3])
    batch = {"jet": torch.full((20_000, 2, 4), 7.0)}
    torch.manual_seed(1)
    sample = noise(batch).double()
    again = noise(batch)
    torch.manual_seed(1)
    assert torch.equal(noise(batch).double(), sample)
    assert not torch.equal(again.double(), sample)
    # five standard errors of 120,000 numbers
    assert abs(float(sample.mean())) < 5 / math.sqrt(sample.numel())
    assert float(sample.var()) == pytest.approx(1, abs=5 * math.sqrt(2 / sample.numel()))
    assert float((sample.abs() < 1).double().mean()) == pytest.approx(0.6827, abs=0.01)
    components = sample.flatten(1).numpy()
    assert np.abs(np.corrcoef(components.T) - np.eye(6)).max() < 0.04


def encoded(*momenta: tuple[float, float, float]) -> Tensor:
    """One event of (pT [GeV], eta, phi), as the networks see it."""
    return torch.tensor([[[math.log(0.1 + pt), eta, phi] for pt, eta, phi in momenta]])


@pytest.mark.parametrize(
    ("momenta", "mass"),
    [
        # back to back and central: twice the energy, 2 sqrt(50^2 + 1.777^2)
        (((50.0, 0.0, 0.0), (50.0, 0.0, math.pi)), 100.0631),
        # at right angles: m^2 = 2 m_tau^2 + 2 E1 E2 with E^2 = 30^2 + m_tau^2, 40^2 + m_tau^2
        (((30.0, 0.0, 0.0), (40.0, 0.0, math.pi / 2)), 49.12121),
        # parallel and equal: twice the tau mass
        (((10.0, 0.0, 1.0), (10.0, 0.0, 1.0)), 3.554),
    ],
)
def test_invariant_mass_by_hand(
    momenta: tuple[tuple[float, float, float], ...], mass: float
) -> None:
    assert float(invariant_mass(encoded(*momenta))) == pytest.approx(mass, rel=2e-3)
    energies = [math.hypot(pt * math.cosh(eta), 1.777) for pt, eta, _ in momenta]
    (pt1, eta1, phi1), (pt2, eta2, phi2) = momenta
    product = pt1 * pt2 * (math.cos(phi1 - phi2) + math.sinh(eta1) * math.sinh(eta2))
    squared = 2 * 1.777**2 + 2 * (energies[0] * energies[1] - product)
    assert math.sqrt(squared) == pytest.approx(mass, rel=1e-6)


def test_invariant_mass_of_many_pairs_against_double_precision() -> None:
    generator = np.random.default_rng(0)
    pt = generator.uniform(20, 200, (500, 2))
    eta, phi = generator.uniform(-2.3, 2.3, (500, 2)), generator.uniform(-3.1, 3.1, (500, 2))
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + 1.777**2)
    components = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], -1)
    mass = np.sqrt(energy.sum(1) ** 2 - (components.sum(1) ** 2).sum(-1))
    taus = torch.tensor(np.stack([np.log(0.1 + pt), eta, phi], -1), dtype=torch.float32)
    chosen = mass > 30
    np.testing.assert_allclose(invariant_mass(taus).numpy()[chosen], mass[chosen], rtol=1e-3)


def test_mass_candidate_sees_nothing_but_the_mass_in_units_of_125_gev(chain: Chain) -> None:
    candidate = module(chain, "higgs_id", "mass")
    pair = encoded((62.5, 0.0, 0.0), (62.5, 0.0, math.pi))
    boosted_and_turned = torch.tensor([[[0.0, 0.7, 1.1], [0.0, 0.7, 1.1]]]) + pair
    torch.testing.assert_close(
        candidate({"tau": pair}), candidate({"tau": boosted_and_turned}), rtol=1e-4, atol=1e-5
    )
    mass = 2 * math.hypot(62.5, 1.777)
    expected = candidate.network(torch.tensor([[mass / 125.0]])).squeeze(-1)
    torch.testing.assert_close(candidate({"tau": pair}), expected, rtol=1e-5, atol=1e-6)


def test_mass_has_finite_gradients_where_the_mass_vanishes(chain: Chain) -> None:
    tau = torch.full((1, 2, 3), -100.0, requires_grad=True)
    module(chain, "higgs_id", "mass")({"tau": tau}).sum().backward()
    assert tau.grad is not None
    assert torch.isfinite(tau.grad).all()


def test_lstm_reads_the_order_of_the_taus(chain: Chain, events: Events) -> None:
    candidate = module(chain, "higgs_id", "lstm")
    tau = events.train["tau"][:8]
    assert not torch.allclose(candidate({"tau": tau}), candidate({"tau": tau.flip(1)}), atol=1e-5)
    last_only = tau.clone()
    last_only[:, 0] += 1.0
    assert not torch.allclose(candidate({"tau": tau}), candidate({"tau": last_only}), atol=1e-5)
