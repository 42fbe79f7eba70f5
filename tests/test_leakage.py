"""What an output tells of the label beyond its truth: on the toy, honest and leaking by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from conftest import QUIET, Compose, compose_config
from sklearn.linear_model import LogisticRegression
from test_interventions import EVENTS, Of, made_chain, made_events
from torch import Tensor

from msnas.data.events import Batch
from msnas.evaluation.applied import Applied
from msnas.evaluation.evaluate import collect_outputs
from msnas.evaluation.honesty import leakages, measure_honesty
from msnas.evaluation.leakage import (
    cross_fitted,
    entropy,
    interval_of,
    leakage_of,
    on_others,
    probe_losses,
)
from msnas.parts import make_parts, read_events
from msnas.plan import make_plan
from msnas.results.result import Result
from msnas.run import run
from msnas.run_directory import HONESTY
from msnas.training.progress import Display
from msnas.training.store import Store

TOY = ["problem=toy", "trainer=cpu", "logger=none"]


def toy_events(count: int, seed: int) -> Batch:
    from msnas.problems.toy import Toy

    raw = Toy(events=count, seed=seed).load(("x", "z", "label"))
    return {name: torch.from_numpy(values) for name, values in raw.items()} | {
        "label": torch.from_numpy(raw["label"]).long()
    }


def applied(events: Batch, output: Tensor) -> Applied:
    """A chain that puts out this for z."""
    chain = made_chain(lambda told: told, ("told",))
    events = {**events, "told": output}
    outputs = collect_outputs(chain, events, paths=[("a", "b")], batch=500)
    return Applied(chain=chain, path=("a", "b"), events=events, outputs=outputs)


def best_of_x(events: Batch) -> Tensor:
    """What x knows of z: the mean of each number, the coin's is 0."""
    u, w = events["x"].unbind(1)
    bend = 0.45 * 2**0.5 * torch.cos(math.pi * u / 3**0.5)
    return torch.stack((u + bend, 0.3 * w, 0 * u), 1)


def smuggled(events: Batch) -> Tensor:
    """The truth with the label in the last digits of one number."""
    told = events["z"].clone()
    told[:, 2] += 0.2 * events["label"]
    return told


def test_an_honest_chain_of_the_toy_leaks_nothing_and_a_smuggling_one_does() -> None:
    valid, test = toy_events(600, seed=1), toy_events(600, seed=2)
    found = {}
    for name, output in {
        "honest": best_of_x,
        "smuggles": smuggled,
        "truth": lambda one: one["z"],
    }.items():
        of_valid, of_test = (applied(one, output(one)) for one in (valid, test))
        found[name] = {
            "test": leakages(of_valid, of_test, seed=3)["one"],
            "valid": leakages(of_valid, of_valid, seed=3)["one"],
        }
    for part in ("valid", "test"):
        assert found["honest"][part]["low"] == found["honest"][part]["leakage"] == 0
        assert found["honest"][part]["output"] > 0.5
        assert found["smuggles"][part]["low"] > 0.02
        assert found["smuggles"][part]["output"] > found["smuggles"][part]["truth"] + 0.05
        # the probes of the same numbers are the same probes
        assert found["truth"][part]["leakage"] == found["truth"][part]["high"] == 0
        assert found["truth"][part]["output"] == found["truth"][part]["truth"]


def test_a_probe_reads_what_is_there() -> None:
    """Of log-odds 4 w, against the exact information and scikit-learn's logistic regression."""
    events = [toy_events(3000, seed) for seed in (1, 2)]
    inputs = [one["x"][None] for one in events]
    labels = [one["label"][:, None] for one in events]
    found = float(on_others(inputs[0], labels[0], inputs[1], labels[1], seed=0).mean())
    odds = events[1]["x"] @ torch.tensor([1.0, 4.0])
    exact = torch.nn.functional.binary_cross_entropy_with_logits(odds, events[1]["label"].float())
    assert found == pytest.approx(1 - float(exact) / math.log(2), abs=0.02)
    model = LogisticRegression(C=1e3).fit(events[0]["x"].numpy(), events[0]["label"].numpy())
    right = model.predict_proba(events[1]["x"].numpy())[np.arange(3000), labels[1][:, 0].numpy()]
    assert found == pytest.approx(1 + float(np.log(right).mean()) / math.log(2), abs=0.02)


def test_probes_know_nothing_of_the_events_they_are_judged_on() -> None:
    """Of labels at random nothing is read, however many numbers there are."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(1, 300, 30, generator=generator)
    labels = torch.randint(2, (300, 1), generator=generator)
    assert 0 <= float(cross_fitted(inputs, labels, seed=0).mean()) < 0.02
    # what happens to an event leaves all others that are judged as they were
    changed, fitted = inputs.clone(), torch.arange(300) % 2 == 1
    changed[0, 4] = 9
    before, after = (probe_losses(one, labels, fitted, seed=0)[0] for one in (inputs, changed))
    assert (before != after).nonzero().flatten().tolist() == [2]


def test_entropy_and_several_classes() -> None:
    assert entropy(torch.tensor([[0], [1], [1], [1]])) == pytest.approx(
        -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    )
    two = torch.tensor([[0, 0], [1, 0], [2, 1], [0, 1]]).repeat(40, 1)
    assert entropy(two) == pytest.approx(1.5 * math.log(2) + math.log(2))
    two = two[torch.randperm(len(two), generator=torch.Generator().manual_seed(0))]
    inputs = torch.nn.functional.one_hot(two, 3).flatten(1).float()
    known = cross_fitted(inputs[None], two, seed=0)
    assert float(known.mean()) > 0.95


def test_the_interval_is_that_of_a_mean() -> None:
    values = torch.from_numpy(np.random.default_rng(0).normal(0.3, 2.0, size=800))
    half = 1.96 * float(values.std()) / 800**0.5
    low, high = interval_of(values, seed=0)
    assert low == pytest.approx(float(values.mean()) - half, abs=0.1 * half)
    assert high == pytest.approx(float(values.mean()) + half, abs=0.1 * half)
    told = leakage_of(values, torch.zeros(800, dtype=torch.float64), seed=0)
    assert (told["low"], told["high"]) == (low, high)
    assert leakage_of(-values.abs(), torch.zeros(800), seed=0)["high"] == 0


def test_a_number_that_was_constant_where_probes_were_fitted_does_not_explode() -> None:
    inputs = torch.zeros(1, 200, 2)
    labels = torch.arange(200)[:, None] // 2 % 2
    inputs[0, :, 0] = labels[:, 0]
    inputs[0, 1::2, 1] = torch.linspace(1, 1e6, 100)
    assert float(cross_fitted(inputs, labels, seed=0).mean()) >= 0
    judged_on = torch.arange(200) % 2 == 1
    assert float(probe_losses(inputs, labels, ~judged_on, seed=0).mean()) < 20


def test_equal_seeds_give_equal_numbers_and_few_events_none() -> None:
    events = toy_events(200, seed=1)
    of = applied(events, smuggled(events))
    first, second, other = (leakages(of, of, seed=seed)["one"] for seed in (0, 0, 1))
    assert first == second != other
    few = {name: value[:99] for name, value in events.items()}
    assert leakages(applied(few, smuggled(few)), of, seed=0) == {}
    alone = {**events, "label": torch.zeros(200, dtype=torch.long)}
    assert leakages(applied(alone, alone["z"]), of, seed=0) == {}


def test_a_run_leaves_its_honesty_at_every_v1(tmp_path: Path) -> None:
    words = [
        *TOY,
        f"output={tmp_path}",
        "data.events=500",
        "method=fixed_chain",
        "conditioning=yoto",
        "conditioning.parameters=[task_weight]",
        "conditioning.laws.task_weight.points=[0.1,0.9]",
        *(f"recipe.{stage}.epochs=2" for stage in ("pretrain", "search", "posttrain")),
    ]
    result = run(compose_config(words), console=QUIET)
    told = result["honesty"]
    assert [one["parameters"] for one in told] == [{"task_weight": v1} for v1 in (0.5, 0.1, 0.9)]
    assert set(told[0]["leakage"]["toy_regression"]) == {"valid", "test"}
    assert set(told[1]["leakage"]["toy_regression"]) == {"valid"}
    (directory,) = (path.parent for path in tmp_path.rglob("result.json"))
    assert Result.read(directory).leakage("test") == {
        "toy_regression": told[0]["leakage"]["toy_regression"]["test"]
    }
    with h5py.File(directory / HONESTY) as file:
        arrays = {name: file[name][()] for name in ("truth", "score", "loss")}
        excess = file["excess/toy_regression"][()]
        assert file.attrs["key"] == result["key"]
    assert excess.shape == arrays["loss"].shape == arrays["score"].shape == (3, 100)
    for place, one in enumerate(told):
        own = one["leakage"]["toy_regression"]["valid"]
        assert excess[place].mean() == pytest.approx(own["output"] - own["truth"], abs=1e-6)
        values = (
            result["metrics"]["valid"] if not place else result["conditions"][place - 1]["valid"]
        )
        assert arrays["loss"][place].mean() == pytest.approx(values["toy_classification/loss"])
    assert HONESTY in json.loads((directory / "result.json").read_text())["files"]


def test_validity_event_by_event_is_the_share(compose: Compose, tmp_path: Path) -> None:
    """On test events taken for validation events, in a canonical frame."""
    settings = compose_config([]).tasks.tau_calibration.validity
    settings.epochs, settings.inducing = 1, 8
    cfg = compose("frame=canonical")
    cfg.tasks.tau_calibration.validity = settings
    plan = make_plan(cfg)
    events = read_events(plan)
    events = type(events)(
        train=events.train, valid=events.test, test=events.test, fields=events.fields
    )
    parts = make_parts(plan, events, store=Store(tmp_path / "cache"), display=Display(QUIET))
    for weight in parts.chain.candidate(0, "sf").parameters():
        weight.data += 0.03 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    tested = parts.scoring.test(parts.chain, ("sf", "mlp"))
    assert tested.honesty is not None
    share = tested.values["validity/joint"]
    assert 0 < share < 1
    assert tested.honesty.points[0]["validity"] == {"tau_calibration": pytest.approx(share)}
    assert float(tested.honesty.events["inside/tau_calibration"].double().mean()) == pytest.approx(
        share
    )


def test_a_last_task_without_classes_has_no_leakage_but_the_rest() -> None:
    part = made_events()
    part["label"] = part["label"].float()
    chain = made_chain(lambda x: x)
    outputs = collect_outputs(chain, part, paths=[("a", "b")], batch=64)
    one = Applied(chain=chain, path=("a", "b"), events=part, outputs=outputs)
    told = measure_honesty([one], one, points=[None], judges={}, detector=part, seed=0)
    assert told is not None
    assert told.points == [{"parameters": {}, "validity": {}, "leakage": {}}]
    assert set(told.events) == {"truth", "loss", "score"}
    assert told.events["loss"].shape == (1, EVENTS)
    alone = made_chain(Of(None))
    alone.tasks = alone.tasks[:1]
    assert (
        measure_honesty(
            [],
            Applied(chain=alone, path=("a",), events=part, outputs=outputs),
            points=[],
            judges={},
            detector=part,
            seed=0,
        )
        is None
    )
