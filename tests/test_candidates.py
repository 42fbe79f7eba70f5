"""One contract for every candidate file of every problem, and what those of the taus compute."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from conftest import CONF, HTAUTAU_TASKS, compose_config
from omegaconf import OmegaConf
from torch import Tensor, nn

from msnas.candidates.dummies import Noise
from msnas.candidates.mass import invariant_mass
from msnas.candidates.side_channel import image_numbers
from msnas.chain.candidate_grid import expand_grids
from msnas.chain.chain import Chain, handed_on
from msnas.chain.from_config import build_chain
from msnas.data.events import Batch, Events
from msnas.parts import read_events
from msnas.plan import make_plan


def every(task: str) -> list[str]:
    return sorted(path.stem for path in (CONF / "candidate" / task).glob("*.yaml"))


FILES = {
    "htautau": {task: every(task) for task in HTAUTAU_TASKS},
    "htautau_direct": {"direct_higgs_id": every("direct_higgs_id")},
    "tau_vs_jet": {"tau_id": ["residual_cnn", "residual_mlp"]},
    "tau_jet_multitask": {
        "tau_jet_features": every("tau_jet_features"),
        "tau_id": ["head", "mlp"],
        "jet_calibration": every("jet_calibration"),
    },
    "toy": {task: every(task) for task in ("toy_regression", "toy_classification")},
    "toy3": {task: every(task) for task in ("toy3_z", "toy3_w", "toy3_label")},
    "digit_sum": {task: every(task) for task in ("digit_recognition", "digit_sum")},
}
FEW = {
    "toy": ["data.source.events=300"],
    "toy3": ["data.source.events=300"],
    "digit_sum": ["data.source.pairs=200"],
}


def names(task: str, files: list[str]) -> list[str]:
    """Candidates of files; one with a grid stands for several."""
    folder = CONF / "candidate" / task
    loaded = {file: OmegaConf.load(folder / f"{file}.yaml") for file in files}
    contents = {file: OmegaConf.to_container(one) for file, one in loaded.items()}
    return list(expand_grids(contents, key=task))


EVERY = [
    (problem, task, name)
    for problem, tasks in FILES.items()
    for task, files in tasks.items()
    for name in names(task, files)
]
IS_DUMMY = {one for one in EVERY if one[2] in ("zeros", "noise")}
WITHOUT_WEIGHTS = {*IS_DUMMY, ("digit_sum", "digit_sum", "sum")}
LEARNING = [one for one in EVERY if one not in WITHOUT_WEIGHTS]
OF_HTAUTAU = [one[1:] for one in LEARNING if one[0] == "htautau"]
DUMMIES = {one[1:] for one in IS_DUMMY}

EVERY_CANDIDATE = pytest.mark.parametrize(("problem", "task", "name"), EVERY)
EVERY_NETWORK = pytest.mark.parametrize(("problem", "task", "name"), LEARNING)

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


class Made(NamedTuple):
    """A problem with all its candidates; `events` tell what tasks without a truth hand on, too."""

    config: dict[str, Any]
    events: Events
    chain: Chain

    def module(self, task: str, name: str) -> nn.Module:
        return self.chain.candidate(list(self.config["problem"]["chain"]).index(task), name)

    def output(self, task: str, name: str, batch: Batch) -> Tensor:
        level = list(self.config["problem"]["chain"]).index(task)
        return self.chain.run_on_truth(batch, level, name)


@pytest.fixture(scope="module")
def make(
    event_file: Path, jet_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Made]:
    folder, found = tmp_path_factory.mktemp("runs"), {}

    def made_once(problem: str) -> Made:
        if problem not in found:
            file = jet_file if "jet" in problem else event_file
            few = FEW.get(problem, [f"data.file={file}", "data.events=300"])
            words = [f"problem={problem}", "trainer=cpu", f"output={folder}", *few]
            chosen = [f"candidate/{task}=[{','.join(it)}]" for task, it in FILES[problem].items()]
            plan = make_plan(compose_config([*words, *chosen]))
            events, chain = read_events(plan), build_chain(plan.config["tasks"], plan.chain, seed=0)
            for part in (events.train, events.valid):
                for task in chain.tasks:
                    if not task.supervised:
                        shape = (len(part["label"]), *task.output.shape)
                        part[handed_on(task)] = torch.randn(shape)
            found[problem] = Made(plan.config, events, chain)
        return found[problem]

    return made_once


@pytest.fixture
def made(make: Callable[[str], Made], problem: str) -> Made:
    """A test's own copy of the freshly built chain."""
    one = make(problem)
    return one._replace(chain=copy.deepcopy(one.chain))


def first(batch: Batch, events: int) -> Batch:
    return {name: value[:events] for name, value in batch.items()}


# ------------------------------------------------------------------ what every candidate keeps to


@EVERY_CANDIDATE
def test_output_has_the_declared_shape(made: Made, task: str, name: str) -> None:
    shape = next(one for one in made.chain.tasks if one.name == task).output.shape
    for count in (1, 2, 7):
        output = made.output(task, name, first(made.events.train, count))
        assert output.shape == (count, *shape)
        assert output.dtype == torch.float32
    is_dummy = getattr(made.module(task, name), "is_dummy", False)
    assert is_dummy == ((task, name) in DUMMIES)


@EVERY_CANDIDATE
@pytest.mark.parametrize("size", [0.0, 1e6, -1e6])
def test_output_and_gradients_stay_finite_on_extreme_inputs(
    made: Made, task: str, name: str, size: float
) -> None:
    batch = {
        key: torch.full_like(value, size) if value.is_floating_point() else value
        for key, value in first(made.events.train, 4).items()
    }
    output = made.output(task, name, batch)
    assert torch.isfinite(output).all()
    if output.requires_grad:
        output.mean().backward()
        for value in made.module(task, name).parameters():
            assert value.grad is None or torch.isfinite(value.grad).all()


@EVERY_NETWORK
def test_training_lowers_its_own_loss_and_reaches_every_parameter(
    made: Made, task: str, name: str
) -> None:
    judge = next(one for one in made.chain.tasks if one.name == task)
    batch = first(made.events.train, 64)
    module = made.module(task, name)
    optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        output = made.output(task, name, batch)
        loss = judge.mean_loss(output, batch) if judge.supervised else (output - 1).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 1e-3
    assert math.isfinite(losses[-1])
    assert all(one.grad is not None and bool((one.grad != 0).any()) for one in module.parameters())


@EVERY_NETWORK
def test_initial_weights_depend_on_seed_task_and_name_alone(
    made: Made, task: str, name: str
) -> None:
    settings, chain = made.config["tasks"], made.config["problem"]["chain"]
    others = [one for one in settings[task]["candidates"] if one != name][:1]

    def weights(chosen: list[str], seed: int) -> dict[str, Tensor]:
        # the state of PyTorch's own generator must not matter
        torch.manual_seed(int(np.random.default_rng().integers(2**31)))
        kept = {
            one: {
                **of_task,
                "candidates": {
                    key: value
                    for key, value in of_task["candidates"].items()
                    if key in (chosen if one == task else [next(iter(of_task["candidates"]))])
                },
            }
            for one, of_task in settings.items()
        }
        kept[task]["candidates"] = {one: kept[task]["candidates"][one] for one in chosen}
        return build_chain(kept, chain, seed=seed).candidate(chain.index(task), name).state_dict()

    reference = weights([name], 3)
    for chosen in ([name, *others], [*others, name]):
        again = weights(chosen, 3)
        assert all(torch.equal(reference[key], again[key]) for key in reference)
    another = weights([name], 4)
    assert name == "sf" or any(not torch.equal(reference[key], another[key]) for key in reference)


@EVERY_NETWORK
def test_saved_weights_give_equal_outputs(made: Made, task: str, name: str) -> None:
    batch = first(made.events.valid, 9)
    module = made.module(task, name).eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with torch.no_grad():
        for value in module.parameters():
            value.add_(0.01)
    expected = made.output(task, name, batch)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    module.load_state_dict(before)
    assert not torch.equal(expected, made.output(task, name, batch))
    module.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(expected, made.output(task, name, batch))


@EVERY_CANDIDATE
def test_events_do_not_see_each_other(made: Made, task: str, name: str) -> None:
    batch, valid = first(made.events.train, 5), first(made.events.valid, 5)
    changed = {key: value.clone() for key, value in batch.items()}
    for key, value in changed.items():
        value[[0, 1, 3, 4]] = valid[key][[0, 1, 3, 4]]
    outputs = []
    for one in (batch, changed):
        torch.manual_seed(5)
        outputs.append(made.output(task, name, one))
    torch.testing.assert_close(outputs[0][2], outputs[1][2], rtol=1e-6, atol=1e-5)
    if (task, name) not in DUMMIES:
        assert not torch.allclose(outputs[0], outputs[1])


# ------------------------------------------------------------------ of the two taus


@pytest.fixture
def events(make: Callable[[str], Made]) -> Events:
    return make("htautau").events


@pytest.fixture
def chain(make: Callable[[str], Made]) -> Chain:
    return copy.deepcopy(make("htautau").chain)


def inputs(chain: Chain, task: str, name: str, batch: Batch) -> Batch:
    """What a candidate of `task` reads in pre-training."""
    return {key: batch[key] for key in chain.inputs(HTAUTAU_TASKS.index(task), name)}


def module(chain: Chain, task: str, name: str) -> nn.Module:
    return chain.candidate(HTAUTAU_TASKS.index(task), name)


def test_two_candidates_of_one_class_start_differently(make: Callable[[str], Made]) -> None:
    tasks, task = make("htautau").config["tasks"], HTAUTAU_TASKS[1]
    twins = dict.fromkeys(("a", "b"), tasks[task]["candidates"]["mlp"])
    settings = {**tasks, task: {**tasks[task], "candidates": twins}}
    chain = build_chain(settings, HTAUTAU_TASKS, seed=0)
    one, other = (next(chain.candidate(1, name).parameters()) for name in twins)
    assert not torch.equal(one, other)


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


@pytest.mark.parametrize("name", [name for task, name in OF_HTAUTAU if task == "tau_calibration"])
def test_jets_share_weights(chain: Chain, events: Events, name: str) -> None:
    candidate = module(chain, "tau_calibration", name)
    batch = inputs(chain, "tau_calibration", name, first(events.train, 6))
    swapped = candidate({key: value.flip(1) for key, value in batch.items()})
    torch.testing.assert_close(candidate(batch).flip(1), swapped, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(candidate(batch), swapped, atol=1e-2)


@pytest.mark.parametrize("name", ["mlp", "cnn", "deep_sets"])
def test_tau_networks_correct_the_jet(chain: Chain, events: Events, name: str) -> None:
    candidate = module(chain, "tau_calibration", name)
    batch = inputs(chain, "tau_calibration", name, first(events.train, 6))
    nn.init.zeros_(candidate.momentum_network[-1].weight)
    nn.init.constant_(candidate.momentum_network[-1].bias, 0.25)
    torch.testing.assert_close(candidate(batch), batch["jet"][..., :3] + 0.25)


@pytest.mark.parametrize("name", ["mlp", "cnn", "deep_sets"])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_tau_networks_read_every_channel_of_their_own_jet(
    chain: Chain, events: Events, name: str, channel: int
) -> None:
    candidate = module(chain, "tau_calibration", name)
    batch = inputs(chain, "tau_calibration", name, first(events.train, 6))
    image = batch["image"].clone()
    image[:, 0, channel] += 50.0
    change = (candidate({**batch, "image": image}) - candidate(batch)).abs().amax((0, 2))
    assert change[0] > 1e-5
    assert change[1] < 1e-6


def test_sf_is_the_identity_at_the_start_and_linear_after(chain: Chain, events: Events) -> None:
    candidate = module(chain, "tau_calibration", "sf")
    batch = inputs(chain, "tau_calibration", "sf", events.train)
    assert torch.equal(candidate(batch), batch["jet"][..., :3])
    with torch.no_grad():
        candidate.scale.copy_(torch.tensor([2.0, 3.0, 4.0]))
        candidate.shift.copy_(torch.tensor([0.5, -1.0, 0.25]))
    jet = torch.tensor([[[1.0, 2.0, 3.0, 9.0], [-1.0, 0.0, 1.0, 9.0]]])
    expected = torch.tensor([[[2.5, 5.0, 12.25], [-1.5, -1.0, 4.25]]])
    assert torch.equal(candidate({"jet": jet}), expected)


@pytest.mark.parametrize("task", HTAUTAU_TASKS)
def test_zeros_are_zero(chain: Chain, events: Events, task: str) -> None:
    output = module(chain, task, "zeros")(inputs(chain, task, "zeros", events.train))
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


def test_deep_sets_are_a_sum_over_filled_pixels(chain: Chain, events: Events) -> None:
    """Each pixel of a jet by itself, in double loops."""
    candidate = module(chain, "tau_calibration", "deep_sets")
    jet, image = events.train["jet"][3, 1], events.train["image"][3, 1]
    summed = torch.zeros(64)
    for channel, row, column in image.nonzero().tolist():
        eta, phi = (-1 + 2 * place / 15 for place in (row, column))
        about = [float(image[channel, row, column]), *(float(channel == one) for one in range(3))]
        seen = torch.tensor([*about, eta, phi, math.hypot(eta, phi), *jet.tolist()])
        summed += candidate.pixel_network(seen)
    expected = jet[:3] + candidate.momentum_network(torch.cat((summed, jet)))
    found = candidate({name: events.train[name][2:5] for name in ("jet", "image")})[1, 1]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_deep_sets_of_jets_without_any_pixel(chain: Chain, events: Events) -> None:
    candidate = module(chain, "tau_calibration", "deep_sets")
    jet, image = events.train["jet"][:3], torch.zeros(3, 2, 3, 16, 16)
    nothing = torch.cat((torch.zeros(3, 2, 64), jet), -1)
    expected = jet[..., :3] + candidate.momentum_network(nothing)
    torch.testing.assert_close(candidate({"jet": jet, "image": image}), expected)


def test_pt_only_leaves_the_direction_to_the_jet(chain: Chain, events: Events) -> None:
    candidate = module(chain, "tau_calibration", "pt_only")
    batch = inputs(chain, "tau_calibration", "pt_only", events.train)
    found = candidate(batch)
    assert torch.equal(found[..., 1:], batch["jet"][..., 1:3])
    assert (found[..., 0] - batch["jet"][..., 0]).abs().min() > 0


def test_image_numbers_by_hand() -> None:
    image = torch.zeros(1, 2, 3, 16, 16)
    image[0, 1, 2, 7, 8] = 3.0  # in the core: rows and columns 6 to 9
    image[0, 1, 2, 0, 15] = 5.0
    numbers = image_numbers(image).view(1, 2, 3, 4)
    assert numbers[0, 1, 2].tolist() == [2.0, 0.5, 5.0, 0.75]
    numbers[0, 1, 2] = 0
    assert not numbers.any()


def test_the_side_channel_reads_past_the_taus_and_others_do_not(
    chain: Chain, events: Events
) -> None:
    assert chain.inputs(1, "side") == ("tau", "jet", "image")
    assert chain.inputs(1, "mlp") == ("tau",)
    assert chain.inputs(0, "sf") == ("jet",)
    few = first(events.train, 8)
    for name in ("side", "mlp"):
        before = chain.run(few, ("sf", name))[1]
        after = chain.run({**few, "image": few["image"] + 1.0}, ("sf", name))[1]
        assert torch.equal(before, after) is (name == "mlp")
