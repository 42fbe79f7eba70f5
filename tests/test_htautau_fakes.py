"""A chain of three tasks on events with fakes: the file, what counts, every method."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from conftest import QUIET, ROOT, compose_config, epochs
from sklearn.metrics import roc_auc_score
from torch import Tensor

from msnas.auc import auc_contrast_error
from msnas.build import build
from msnas.chain.chain import Chain
from msnas.chain.from_config import build_chain, build_tasks
from msnas.chain.output import Binary, Classes, TauMomentum
from msnas.chain.task import Task
from msnas.data.events import Events
from msnas.data.frames import TURN
from msnas.errors import ConfigError, DataError
from msnas.evaluation.class_auc import ClassAUC, ClassAUCs
from msnas.evaluation.interventions import levels_read_later
from msnas.evaluation.judge import _of_objects
from msnas.evaluation.mean_loss import MeanLoss
from msnas.evaluation.sample_error import sample_error
from msnas.losses.class_balanced import ClassBalanced
from msnas.losses.cross_entropy import CrossEntropy
from msnas.losses.loss import Loss
from msnas.losses.momentum import MomentumError
from msnas.model import load_model
from msnas.parts import read_events
from msnas.plan import Plan, make_plan
from msnas.results.outputs import MOMENTUM, jet_field, last_task_with, momenta_of, read_outputs
from msnas.results.result import Result
from msnas.run import run

FAKES = "problem=htautau_fakes"
FEW = [
    "candidate/pair_tau_id=[mlp,deep_sets]",
    "candidate/pair_calibration=[sf,deep_sets]",
    "candidate/event_class=[mlp,side]",
]


def overrides(file: Path, output: Path, *more: str) -> list[str]:
    paths = [f"data.file={file}", f"output={output}"]
    return [FAKES, "trainer=cpu", "logger=none", *paths, *epochs(1), *more]


@pytest.fixture(scope="module")
def plan(fakes_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return make_plan(compose_config(overrides(fakes_file, tmp_path_factory.mktemp("runs"))))


@pytest.fixture(scope="module")
def events(plan: Plan) -> Events:
    return read_events(plan)


@pytest.fixture(scope="module")
def chain(plan: Plan) -> Chain:
    return build_chain(plan.config["tasks"], plan.chain, seed=0)


# ------------------------------------------------------------------ the embedded file


def test_the_embedded_file_is_as_described() -> None:
    shapes = {"image": (2, 3, 16, 16), "jet": (2, 4), "is_tau": (2,), "target": (2, 3)}
    shapes |= {"label": (), "tau_visible": (2, 4), "tau_decay": (2, 2)}
    with h5py.File(ROOT / "data" / "htautau_fakes.h5") as file:
        assert {name: item.shape[1:] for name, item in file.items()} == shapes
        assert set(file.attrs) >= {*shapes, "processes", "generator", "detector", "matching"}
        label, is_tau, jet = (file[name][()] for name in ("label", "is_tau", "jet"))
    assert np.bincount(label).tolist() == [3637] * 4
    for one, taus in enumerate((0, 1, 2, 2)):
        assert (is_tau[label == one].sum(1) == taus).all()
    assert is_tau[label == 1, 0].mean() == pytest.approx(0.36, abs=0.005), "the harder of W + jet"
    assert (jet[:, 0, 0] >= jet[:, 1, 0]).all()


def test_parts_hold_all_classes_alike(events: Events) -> None:
    share = {"train": 36, "valid": 12, "test": 12}
    assert events.class_counts("label") == {
        name: {str(one): count for one in range(4)} for name, count in share.items()
    }


def test_true_momenta_and_jets_turn_together(events: Events) -> None:
    """In the frame as in the detector they are as far apart."""
    assert TURN in events.train
    for part in (events.train, events.in_detector(events.train)):
        apart = part["target"][..., 1:] - part["jet"][..., 1:3]
        apart = torch.remainder(apart + math.pi, 2 * math.pi) - math.pi
        assert float(apart.norm(dim=-1).max()) < 0.9
    assert events.train["jet"][:, 0, 2].abs().max() < 1e-6


def test_what_turns_is_told_to_frame_and_augmentation() -> None:
    data = make_plan(compose_config([FAKES, "trainer=cpu", "augment=turns"])).config["data"]
    for name in ("frame", "augment"):
        assert (data[name]["momenta"], data[name]["images"]) == (["jet", "target"], ["image"])
    assert not {"momenta", "images"} & data.keys()


# ------------------------------------------------------------------ objects that count


def momenta(*pt: float) -> Tensor:
    """Encoded momenta at eta = phi = 0, [particle, 3]."""
    return torch.tensor([[math.log(0.1 + one), 0.0, 0.0] for one in pt])


def calibration(loss: Loss, counts: str | None = "real", **more: Any) -> Task:
    return Task(
        name="calibration",
        inputs=("jet",),
        target="tau",
        output=TauMomentum(shape=[2, 3]),
        loss=loss,
        metrics={"mse": MeanLoss(loss=MomentumError())},
        counts=counts,
        **more,
    )


MADE = {
    "tau": torch.stack([momenta(100, 100), momenta(100, 100), momenta(100, 100)]),
    "real": torch.tensor([[1, 1], [0, 1], [0, 0]]),
}
OUTPUT = torch.stack([momenta(200, 300), momenta(200, 300), momenta(200, 300)])
"""Errors of 100 GeV and 200 GeV: 1 and 4 (100 GeV)^2."""


@pytest.mark.parametrize(("fakes", "losses"), [(0.0, [5, 4, 0]), (0.25, [5, 4.25, 1.25])])
def test_taus_count_fully_and_fakes_by_their_weight(fakes: float, losses: list[float]) -> None:
    task = calibration(MomentumError(fake_weight=fakes))
    found = task.event_losses(OUTPUT, MADE)
    assert found.tolist() == pytest.approx(losses, abs=1e-4)
    weights = torch.tensor([1.0, 2.0, 3.0])
    weighted = task.event_losses(OUTPUT, {**MADE, "weight": weights})
    torch.testing.assert_close(weighted, found * weights)
    # metrics see the three taus alone, whatever the loss
    assert task.measure(OUTPUT, MADE) == {"calibration/mse": pytest.approx((1 + 4 + 4) / 3)}


def test_all_counting_is_the_loss_of_the_event() -> None:
    every = {**MADE, "real": torch.ones(3, 2, dtype=torch.int64)}
    task, plain = calibration(MomentumError()), calibration(MomentumError(), None)
    torch.testing.assert_close(task.event_losses(OUTPUT, every), plain.event_losses(OUTPUT, every))


def test_an_error_is_of_events_drawn_whole() -> None:
    """Both taus of an event come together: the error is that of a ratio of sums over events."""
    generator = torch.Generator().manual_seed(0)
    count = 400
    real = torch.randint(2, (count, 2), generator=generator)
    shift = 1 + torch.rand(count, 1, 1, generator=generator)  # the same for both taus of an event
    truth = momenta(100, 100).expand(count, 2, 3)
    output = truth.clone()
    output[..., :1] += shift.expand(count, 2, 1).log()
    task = calibration(MomentumError())
    batch = {"tau": truth, "real": real}
    error = sample_error(task, "mse", [output], batch, np.array([1.0]))
    squares = ((shift.squeeze() - 1) * 1.001).square().numpy()
    taus = real.sum(1).numpy()
    ratio = (squares * taus).sum() / taus.sum()
    expected = np.sqrt(((taus * (squares - ratio)) ** 2).sum()) / taus.sum()
    assert error == pytest.approx(expected, rel=0.15)


def test_fields_of_objects_that_count_are_the_judges_events() -> None:
    part = {**MADE, "jet": torch.arange(24.0).view(3, 2, 4), "event": torch.zeros(3)}
    (output,), chosen = _of_objects(calibration(MomentumError()), part, [OUTPUT])
    assert chosen.keys() == {"tau", "real", "jet"}
    assert chosen["jet"].tolist() == part["jet"][[0, 0, 1], [0, 1, 1]].tolist()
    assert torch.equal(output, OUTPUT[[0, 0, 1], [0, 1, 1]])
    (same,), all_of_it = _of_objects(calibration(MomentumError(), None), part, [OUTPUT])
    assert same is OUTPUT
    assert all_of_it is part


def test_what_cannot_count_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"calibration\.loss\.fake_weight: does nothing without"):
        calibration(MomentumError(fake_weight=0.5), None)
    with pytest.raises(ConfigError, match=r"^loss\.fake_weight: expected a finite number >= 0"):
        MomentumError(fake_weight=-1.0)
    task = calibration(MomentumError())
    with pytest.raises(ConfigError, match=r"counts: 'real' has shape \[3\] per event"):
        task.fit_loss({**MADE, "real": torch.ones(3, 3)})
    with pytest.raises(DataError, match="counts: 'real' is 0 for all"):
        task.fit_loss({**MADE, "real": torch.zeros(3, 2)})
    words = [FAKES, "trainer=cpu", "tasks.pair_calibration.counts=is_tao"]
    with pytest.raises(ConfigError, match=r"pair_calibration\.counts: 'is_tao' is not a field"):
        make_plan(compose_config(words))


def test_what_counts_is_told_apart_where_trainings_are_kept(plan: Plan) -> None:
    all_jets = make_plan(
        compose_config([FAKES, "trainer=cpu", "tasks.pair_calibration.counts=null"])
    )
    level = plan.chain.index("pair_calibration")
    assert plan.pretraining_identity(level, "sf")["task"]["counts"] == "is_tau"
    assert "counts" not in all_jets.pretraining_identity(level, "sf")["task"]
    (task,) = build_tasks(all_jets.config["tasks"], ["pair_calibration"])
    assert task.counts is None


# ------------------------------------------------------------------ yes or no of each object


def test_several_yes_or_no_are_handed_on_as_a_number_of_each() -> None:
    output = Binary(shape=[2])
    assert output.from_truth(torch.tensor([[1, 0]])).tolist() == [[[1.0], [0.0]]]
    logits = torch.tensor([[0.0, math.log(3.0)]])
    assert output.from_output(logits).squeeze(-1).tolist() == [[0.5, pytest.approx(0.75)]]
    assert Binary().from_truth(torch.tensor([1])).tolist() == [[1.0]]


def test_losses_of_two_classes_take_several_objects() -> None:
    """A weight for each of two classes, not for each of three objects."""
    loss = ClassBalanced(one_minus_beta=0.0, normalisation="sum_to_classes")
    target = torch.tensor([[1, 0, 0], [0, 0, 0]])
    task = Task(
        name="id",
        inputs=("jet",),
        target="real",
        output=Binary(shape=[3]),
        loss=loss,
        metrics={},
    )
    task.fit_loss({"real": target})
    found = task.event_losses(torch.zeros(2, 3), {"real": target})
    one, zero = 2 * 5 / 6, 2 * 1 / 6  # 1 / n_c, brought to a sum of 2
    expected = [math.log(2) * (one + 2 * zero), math.log(2) * 3 * zero]
    assert found.tolist() == pytest.approx(expected)


# ------------------------------------------------------------------ one class against the others


def test_class_aucs_against_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(4, (300,), generator=generator)
    output = torch.randn(300, 4, generator=generator) + torch.eye(4)[target]
    output += 3 * torch.randn(300, 1, generator=generator)  # no probability knows of it
    probability = output.double().softmax(-1).numpy()
    expected = [roc_auc_score(target == one, probability[:, one]) for one in range(4)]
    every, last = ClassAUCs(classes=list("abcd")), ClassAUC(class_index=3)
    for metric in (every, last):
        metric.update(output[:100], target[:100])
        metric.update(output[100:], target[100:])
    assert every.compute().tolist() == pytest.approx(expected, abs=1e-6)
    assert float(last.compute()) == pytest.approx(expected[3], abs=1e-6)
    by_logit = roc_auc_score(target == 3, output[:, 3])
    assert abs(by_logit - expected[3]) > 0.01, "the logit alone is no score"
    task = Task(
        name="sort",
        inputs=("x",),
        target="kind",
        output=Classes(shape=[4]),
        loss=CrossEntropy(),
        metrics={"auc": last},
    )
    found = sample_error(task, "auc", [output], {"kind": target}, np.array([1.0]))
    is_last = (target == 3).long().numpy()
    assert found == pytest.approx(
        auc_contrast_error(probability[None, :, 3], is_last, np.array([1.0])), rel=1e-6
    )


def test_probabilities_near_one_are_no_ties() -> None:
    output = torch.tensor([[0.0, 40.0], [0.0, 50.0], [0.0, 60.0]])
    auc = ClassAUC(class_index=1)
    auc.update(output, torch.tensor([0, 1, 1]))
    assert float(auc.compute()) == 1.0


# ------------------------------------------------------------------ candidates


def test_networks_of_jets_treat_both_alike(chain: Chain, events: Events) -> None:
    few = {name: value[:5] for name, value in events.train.items()}
    swapped = {name: few[name].flip(1) for name in ("jet", "image", "is_tau", "target")}
    chain.eval()
    for level in (0, 1):
        for name in chain.names()[level]:
            one = chain.run_on_truth(few, level, name)
            two = chain.run_on_truth({**few, **swapped}, level, name)
            torch.testing.assert_close(two.flip(1), one, rtol=1e-4, atol=1e-5, msg=name)


def test_a_calibration_may_read_how_likely_a_tau_is(chain: Chain, events: Events) -> None:
    few = {name: value[:8] for name, value in events.train.items()}
    other = {**few, "is_tau": 1 - few["is_tau"]}
    for name, reads in (("deep_sets", True), ("cnn", False), ("sf", False)):
        same = torch.equal(chain.run_on_truth(few, 1, name), chain.run_on_truth(other, 1, name))
        assert same is not reads, name
    assert levels_read_later(chain) == [0, 1]


def test_a_class_is_told_by_momenta_and_taus(chain: Chain, events: Events) -> None:
    few = {name: value[:8] for name, value in events.train.items()}
    for change in ("is_tau", "target"):
        flipped = {**few, change: few[change].flip(0)}
        for name in chain.names()[2]:
            one, two = (chain.run_on_truth(part, 2, name) for part in (few, flipped))
            assert one.shape == (8, 4)
            assert not torch.equal(one, two), (name, change)


# ------------------------------------------------------------------ runs


@pytest.fixture(scope="module")
def selected(fakes_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    judge = "tasks.pair_calibration.validity"
    words = [f"{judge}.epochs=2", f"{judge}.inducing=8", "method.chain=[mlp,deep_sets,side]"]
    folder = tmp_path_factory.mktemp("selected")
    config = compose_config(overrides(fakes_file, folder, "method=fixed_chain", *FEW, *words))
    record = run(config, console=QUIET)
    directory = folder / "htautau_fakes" / "fixed_chain" / record["key"]
    return Result.of(record, config=make_plan(config).config, directory=directory)


def test_metrics_and_validity_are_of_taus(selected: Result, events: Events) -> None:
    read = read_outputs(selected)
    name = "pair_calibration"
    counts = read.counts[name]
    assert np.array_equal(counts, events.test["is_tau"].numpy())
    assert counts.sum() == 12 * (0 + 1 + 2 + 2)
    pt, eta, phi = np.moveaxis(np.stack([read.output[name], read.target[name]]), -1, 0)
    found, true = np.stack((pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)), -1) / 100
    squares = ((found - true) ** 2).sum(-1)
    assert selected.test[f"{name}/mse"] == pytest.approx(squares[counts == 1].mean(), rel=1e-4)
    loss = (squares * counts).sum(1).mean()
    assert selected.test[f"{name}/loss"] == pytest.approx(loss, rel=1e-4)
    assert list(selected.test["validity/per_variable"]) == ["pt", "eta", "phi"]
    task, jet = last_task_with(selected, MOMENTUM), jet_field(selected)
    assert (task, jet) == (name, "jet")
    taus = momenta_of(read, name, "jet").only(counts)
    assert taus.true.shape == (60, 1, 3)
    np.testing.assert_array_equal(taus.true[:, 0], read.target[name][counts == 1])


def test_the_truth_of_taus_reaches_all_that_reads_it(selected: Result) -> None:
    """The calibration deep_sets reads is_tau, its task does not."""
    assert selected.interventions is not None
    rows = {row["name"]: row for row in selected.interventions["groups"]}
    assert list(rows) == [
        *("jet 1", "jet 2", "tau or fake"),
        *("pT", "eta", "phi", "tau calibration", "all tasks"),
    ]
    assert selected.interventions["ordered_by"] == "event_class/h_auc"
    assert rows["all tasks"]["values"] != rows["tau calibration"]["values"]


def test_predictions_need_no_truth(selected: Result, fakes_file: Path) -> None:
    with h5py.File(fakes_file) as file:
        raw = {name: file[name][:7] for name in ("jet", "image")}
    model = load_model(selected.directory)
    assert model.inputs == ["image", "jet"]
    found = model.predict(raw, conditions={}, batch=4)
    assert {name: value.shape for name, value in found.items()} == {
        "pair_tau_id": (7, 2),
        "pair_calibration": (7, 2, 3),
        "event_class": (7, 4),
    }
    np.testing.assert_allclose(found["event_class"].sum(1), 1, rtol=1e-5)


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("darts", "asng", "grid_search")]


@pytest.mark.parametrize("method", ["spos", *SLOW])
def test_every_method_selects_a_chain(method: str, fakes_file: Path, tmp_path: Path) -> None:
    few = ["candidate/pair_tau_id=[mlp]", "candidate/pair_calibration=[sf,mlp]"]
    more = ["candidate/event_class=[mlp,invariants]", "tasks.pair_calibration.validity=null"]
    weights = [f"task_weights.{task}={weight}" for task, weight in WEIGHTS.items()]
    words = overrides(fakes_file, tmp_path, f"method={method}", *few, *more, *weights)
    result = run(compose_config(words), console=QUIET)
    assert result["status"] == "finished"
    assert list(result["selected"]) == list(WEIGHTS)
    assert result["task_weights"] == pytest.approx({"pair_tau_id": 0.25, **HALF})
    losses = [result["metrics"]["valid"][f"{task}/loss"] for task in WEIGHTS]
    weighted = 0.25 * losses[0] + 0.25 * losses[1] + 0.5 * losses[2]
    assert result["metrics"]["valid"]["loss"] == pytest.approx(weighted, rel=1e-5)


WEIGHTS = {"pair_tau_id": 1, "pair_calibration": 1, "event_class": 2}
HALF = {"pair_calibration": 0.25, "event_class": 0.5}


COMMANDS = re.findall(r"^python train.py (.*)$", (ROOT / "docs/fakes.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("words", COMMANDS)
def test_commands_of_the_page_make_plans(words: str) -> None:
    made = make_plan(compose_config(["trainer=cpu", *words.split()]))
    assert made.config["problem"]["name"] == "htautau_fakes"
    if "fake_weight" in words:
        tasks = build_tasks(made.config["tasks"], ["pair_calibration"])
        assert [task.loss.fake_weight for task in tasks if task.loss] == [0.1]


def test_default_candidates_are_at_least_three_a_task(plan: Plan) -> None:
    for task in plan.chain:
        candidates = plan.config["tasks"][task]["candidates"]
        assert len(candidates) == 4
        for name, settings in candidates.items():
            build(settings, key=name, of=torch.nn.Module)
