"""Events from file to batches: split, scales, encodings by hand, and every broken input."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from conftest import ROOT, Compose
from made_events import Arrays
from made_events import load as load_source
from torch import Tensor

from msnas.data.event_file import EventFile
from msnas.data.events import OWN_WEIGHT, PARTS, Events
from msnas.data.fields import ClassLabel, Field, JetMomentum, LogPixels, Numbers, TauMomentum
from msnas.data.module import InOrder, StageData
from msnas.errors import ConfigError, DataError
from msnas.parts import read_events
from msnas.plan import make_plan


def fields() -> dict[str, Field]:
    return {
        "jet": JetMomentum(shape=[2, 4]),
        "image": LogPixels(shape=[2, 3, 16, 16]),
        "tau": TauMomentum(shape=[2, 3]),
        "label": ClassLabel(classes=2),
    }


def made_up(events: int = 40, seed: int = 0) -> dict[str, np.ndarray]:
    """Plausible raw events; the mass of the first jet is the number of the event."""
    generator = np.random.default_rng(seed)
    jet = generator.uniform(20, 100, (events, 2, 4)).astype(np.float32)
    jet[..., 1:3] /= 32
    jet[:, 0, 3] = np.arange(events)
    image = generator.exponential(2.0, (events, 2, 3, 16, 16)).astype(np.float32)
    image[generator.random(image.shape) < 0.8] = 0
    return {
        "jet": jet,
        "image": image,
        "tau": generator.uniform(0, 3, (events, 2, 3)).astype(np.float32),
        "label": np.arange(events, dtype=np.uint8) % 2,
    }


def load(arrays: dict[str, np.ndarray], **settings: Any) -> Events:
    return load_source(Arrays(**arrays), fields(), **settings)


def numbers(events: Events) -> dict[str, list[int]]:
    """The numbers of the made-up events in each part, in their order."""
    scale = events.fields["jet"].scales()["mass"][0]
    return {
        part: (getattr(events, part)["jet"][:, 0, 3].double() * scale).round().int().tolist()
        for part in PARTS
    }


# ------------------------------------------------------------------ the embedded file


def test_the_embedded_file_is_as_described() -> None:
    shapes = {
        "jet": (2, 4),
        "image": (2, 3, 16, 16),
        "tau": (2, 3),
        "label": (),
        "tau_decay": (2, 2),
        "tau_visible": (2, 4),
    }
    with h5py.File(ROOT / "data" / "htautau.h5", "r") as file:
        events = len(file["label"])
        assert {name: item.shape for name, item in file.items()} == {
            name: (events, *shape) for name, shape in shapes.items()
        }
        described = set(file.attrs)
        assert described >= {"jet", "tau", "image", "processes", "generator", "detector", "seeds"}
        assert all(str(file.attrs[name]).strip() for name in described)
        label, tau, jet = file["label"][()], file["tau"][()], file["jet"][()]
    assert events >= 30_000
    assert np.bincount(label).tolist() == [events // 2, events // 2]
    assert (jet[:, 0, 0] >= jet[:, 1, 0]).all(), "the harder jet comes first"
    difference = tau[..., 2] - jet[..., 2]
    wrapped = (difference + np.pi) % (2 * np.pi) - np.pi
    distance = np.hypot(wrapped, tau[..., 1] - jet[..., 1])
    assert np.quantile(distance, 0.99) < 0.4, "each tau belongs to the jet of its index"


def test_the_embedded_file_passes_all_checks() -> None:
    file = EventFile(file=str(ROOT / "data" / "htautau.h5"))
    events = load_source(file, fields(), events=1000)
    assert events.size == 1000
    for part in PARTS:
        for value in getattr(events, part).values():
            assert torch.isfinite(value.double()).all()
    # encoded images: their filled pixels have a standard deviation of 1 per channel
    image = events.train["image"]
    for channel in range(3):
        filled = image[:, :, channel][image[:, :, channel] > 0].double()
        assert float(filled.std()) == pytest.approx(1, abs=0.01)
    assert float(events.train["jet"][..., 3].double().std()) == pytest.approx(1, abs=0.01)


# ------------------------------------------------------------------ split and choice


@pytest.mark.parametrize("count", [10, 40, 203])
def test_the_split_is_disjoint_complete_and_balanced(count: int) -> None:
    arrays = made_up(count)
    events = load(arrays)
    found = numbers(events)
    together = [number for part in PARTS for number in found[part]]
    assert sorted(together) == list(range(count))
    assert events.size == count
    sizes = [len(found[part]) for part in PARTS]
    assert sizes == pytest.approx([0.6 * count, 0.2 * count, 0.2 * count], abs=2)
    for part in PARTS:
        labels = getattr(events, part)["label"]
        assert labels.double().mean().item() == pytest.approx(0.5, abs=1.01 / len(labels))
        assert labels.tolist() == [number % 2 for number in found[part]]


def test_the_split_keeps_the_share_of_a_rare_class() -> None:
    arrays = made_up(200)
    arrays["label"] = (np.arange(200) < 20).astype(np.uint8)
    events = load(arrays)
    rare = [int(getattr(events, part)["label"].sum()) for part in PARTS]
    assert rare == [12, 4, 4]


def test_the_split_is_drawn_from_its_own_seed() -> None:
    arrays = made_up()
    first, again, other = (numbers(load(arrays, split_seed=seed)) for seed in (3, 3, 4))
    assert first == again
    assert set(first["test"]) != set(other["test"])
    assert first["train"] != sorted(first["train"]), "classes would come one after the other"


def test_the_training_seed_does_not_change_the_split(compose: Compose) -> None:
    first, second = (read_events(make_plan(compose(f"seed={seed}"))) for seed in (0, 1))
    other = read_events(make_plan(compose("data.split_seed=1")))
    for part in PARTS:
        for name, value in getattr(first, part).items():
            assert torch.equal(value, getattr(second, part)[name])
    assert not torch.equal(first.test["jet"], other.test["jet"])


def test_other_fractions() -> None:
    events = load(made_up(), fractions={"train": 2, "valid": 1, "test": 1})
    assert [len(numbers(events)[part]) for part in PARTS] == [20, 10, 10]
    wrong: dict[str, float]
    for wrong in ({"train": 0.5, "valid": 0.5}, {"train": 1.0, "valid": 0.0, "test": 0.2}):
        with pytest.raises(ConfigError, match=r"^data\.fractions: "):
            load(made_up(), fractions=wrong)


def test_a_number_of_events_is_shared_by_the_classes() -> None:
    arrays = made_up(60)
    arrays["label"] = (np.arange(60) >= 45).astype(np.uint8)
    few = load(arrays, events=20)
    chosen = [number for part in PARTS for number in numbers(few)[part]]
    assert len(set(chosen)) == few.size == 20
    assert sum(number >= 45 for number in chosen) == 10
    assert load(arrays, events="all").size == 60
    again = load(arrays, events=20, split_seed=1)
    assert set(chosen) != {number for part in PARTS for number in numbers(again)[part]}


@pytest.mark.parametrize("asked", [0, -3, 2.5, True, "many", None])
def test_a_senseless_number_of_events_is_refused(asked: Any) -> None:
    with pytest.raises(ConfigError, match=r"^data\.events: expected .* all, found "):
        load(made_up(), events=asked)


# ------------------------------------------------------------------ scales and encodings


def test_scales_are_fitted_on_the_training_part_alone() -> None:
    arrays = made_up(60)
    reference = load(arrays)
    train = numbers(reference)["train"]
    others = np.setdiff1d(np.arange(60), train)
    changed = {name: value.copy() for name, value in arrays.items()}
    changed["jet"][others] *= [3, 1.5, 1.5, 3]
    changed["image"][others] = changed["image"][others] * 7 + 1
    changed["tau"][others] += 2
    events = load(changed)
    for name, value in reference.train.items():
        assert torch.equal(value, events.train[name])
        assert events.fields[name].scales() == reference.fields[name].scales()
        if name != "label":
            assert not torch.equal(reference.test[name], events.test[name])
    changed["jet"][train] *= 2
    assert load(changed).fields["jet"].scales() != reference.fields["jet"].scales()


def test_scales_by_hand() -> None:
    arrays = made_up(60)
    events = load(arrays)
    train = numbers(events)["train"]
    mass = arrays["jet"][train][..., 3].astype(float)
    assert events.fields["jet"].scales()["mass"] == pytest.approx([mass.std()])
    pixels = arrays["image"][train].astype(float)
    expected = [
        np.log1p(pixels[:, :, channel][pixels[:, :, channel] > 0]).std() for channel in range(3)
    ]
    assert events.fields["image"].scales()["channels"] == pytest.approx(expected)
    for part in PARTS:
        chosen = numbers(events)[part]
        raw = arrays["jet"][chosen].astype(float)
        encoded = np.concatenate(
            [np.log(0.1 + raw[..., :1]), raw[..., 1:3], raw[..., 3:] / mass.std()], -1
        )
        batch = getattr(events, part)
        np.testing.assert_allclose(batch["jet"].numpy(), encoded, rtol=1e-5)
        scaled = np.log1p(arrays["image"][chosen]) / np.array(expected)[:, None, None]
        np.testing.assert_allclose(batch["image"].numpy(), scaled, rtol=1e-5)
        tau = arrays["tau"][chosen].astype(float)
        np.testing.assert_allclose(batch["tau"][..., 0].numpy(), np.log(0.1 + tau[..., 0]), 1e-5)
        assert np.array_equal(batch["tau"][..., 1:].numpy(), arrays["tau"][chosen][..., 1:])
        floats = dict.fromkeys(("jet", "image", "tau"), torch.float32)
        kinds = {name: value.dtype for name, value in batch.items()}
        assert kinds == {**floats, "label": torch.int64}


def test_one_event_by_hand() -> None:
    jet = JetMomentum(shape=[1, 4])
    jet.fit(np.array([[[1, 0, 0, 2.0]], [[1, 0, 0, 6.0]]]))  # masses 2 and 6: deviation 2
    encoded = jet.encode(np.array([[[99.9, 1.5, -2.0, 5.0]]], dtype=np.float32))
    assert encoded.flatten().tolist() == pytest.approx([math.log(100), 1.5, -2.0, 2.5], rel=1e-6)
    image = LogPixels(shape=[1, 1, 2])
    image.fit(np.array([[[[0.0, math.e - 1]]], [[[math.e**3 - 1, 0.0]]]]))  # logarithms 1 and 3
    encoded = image.encode(np.array([[[[0.0, math.e**2 - 1]]]], dtype=np.float32))
    assert encoded.flatten().tolist() == pytest.approx([0.0, 2.0], rel=1e-6)


def test_constant_values_have_the_scale_1() -> None:
    jet = JetMomentum(shape=[2, 4])
    jet.fit(np.ones((5, 2, 4)))
    assert jet.scales() == {"mass": [1.0]}
    image = LogPixels(shape=[3, 2, 2])
    pixels = np.zeros((5, 3, 2, 2))
    pixels[:, 1] = 4
    image.fit(pixels)
    assert image.scales() == {"channels": [1.0, 1.0, 1.0]}


def test_scales_can_be_put_back() -> None:
    arrays = made_up()
    for name, field in load(arrays).fields.items():
        other = fields()[name]
        other.restore(field.scales())
        assert torch.equal(other.encode(arrays[name]), field.encode(arrays[name]))
    with pytest.raises(DataError, match=r"TauMomentum has no scales, found \['mass'\]"):
        TauMomentum(shape=[2, 3]).restore({"mass": [1.0]})


def test_encoding_leaves_the_raw_events_alone() -> None:
    arrays = made_up()
    before = {name: value.copy() for name, value in arrays.items()}
    for name, field in fields().items():
        field.fit(arrays[name])
        field.encode(arrays[name])
        assert np.array_equal(before[name], arrays[name])


def test_event_weights_have_mean_1_in_training_and_may_be_negative() -> None:
    arrays = made_up(60)
    weight = np.random.default_rng(1).normal(3, 4, 60)
    weight[7] = -2.0
    arrays["weight"] = weight
    events = load(arrays)
    assert float(events.train["weight"].double().mean()) == pytest.approx(1, rel=1e-6)
    found = numbers(events)
    mean = weight[found["train"]].mean()
    for part in PARTS:
        expected = weight[found[part]] / mean
        np.testing.assert_allclose(getattr(events, part)["weight"].numpy(), expected, rtol=1e-5)
    assert any(bool((getattr(events, part)["weight"] < 0).any()) for part in PARTS)


def test_no_weights_no_key() -> None:
    assert set(load(made_up()).train) == {"jet", "image", "tau", "label"}


# ------------------------------------------------------------------ broken inputs


def drop(name: str) -> Callable[[dict[str, np.ndarray]], None]:
    return lambda arrays: arrays.__delitem__(name)


def put(name: str, index: Any, value: float) -> Callable[[dict[str, np.ndarray]], None]:
    return lambda arrays: arrays[name].__setitem__(index, value)


def replace(name: str, value: np.ndarray) -> Callable[[dict[str, np.ndarray]], None]:
    return lambda arrays: arrays.__setitem__(name, value)


BROKEN = {
    "missing key": (drop("tau"), r"missing key 'tau', expected .*'tau'.*, found .*'image'"),
    "wrong shape": (
        replace("jet", np.ones((40, 2, 3))),
        r"jet: found shape \[40, 2, 3\], expected \[event, 2, 4\]",
    ),
    "a single number": (
        replace("label", np.array(3)),
        r"label: found shape \[\], expected \[event\]",
    ),
    "NaN": (put("jet", (5, 1, 2), math.nan), r"jet: found NaN .* in 1 events \(first: event 5\)"),
    "infinity": (
        put("image", (slice(8, 11), 0, 0, 0, 0), math.inf),
        r"image: found NaN or infinity in 3 events \(first: event 8\), expected finite",
    ),
    "negative jet pT": (put("jet", (0, 0, 0), -4), r"jet: found pT -4\.0 GeV, expected pT >= 0"),
    "negative tau pT": (put("tau", (0, 1, 0), -0.5), r"tau: found pT -0\.5 GeV, expected pT >= 0"),
    "negative pixel": (put("image", (0, 0, 2, 0, 0), -1), r"image: found a pixel of -1\.0 GeV"),
    "one class": (put("label", slice(None), 1), r"label: found only class \[1\], .*\[0, 1\]"),
    "a third class": (put("label", 0, 2), r"label: found values \[0 1 2\], expected \[0, 1\]"),
    "half a class": (
        replace("label", np.arange(40) % 2 * 0.5),
        r"label: found values \[0\. +0\.5\], expected \[0, 1\]",
    ),
    "text": (replace("label", np.array([b"H", b"Z"] * 20)), r"label: found type \|S1, expected"),
    "unequal lengths": (
        replace("label", np.arange(30) % 2),
        r"numbers of events differ, expected equal ones: .*'jet': 40.*'label': 30",
    ),
    "no events": (replace("label", np.array([], dtype=int)), r"label: holds no event"),
    "a weight missing": (
        replace("weight", np.ones(39)),
        r"numbers of events differ, .*'weight': 39",
    ),
    "weights per jet": (replace("weight", np.ones((40, 2))), r"weight: expected .* \[event\]"),
    "a weight that is NaN": (
        replace("weight", np.full(40, math.nan)),
        r"weight: expected finite numbers",
    ),
    "a weight of no axis": (replace("weight", np.array(1.0)), r"weight: expected .* \[event\]"),
    "a weight beyond float32": (replace("weight", np.full(40, 1e39)), r"weight: expected finite"),
    "a number beyond float32": (
        replace("tau", np.full((40, 2, 3), 1e39)),
        r"tau: found NaN or infinity in 40 events \(first: event 0\), .* \(as float32\)",
    ),
    "weights of mean 0": (
        replace("weight", np.zeros(40)),
        r"weight: mean 0\.0 of the training part, expected > 0",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_events_are_described(case: str, compose: Compose, tmp_path: Path) -> None:
    """The message names the file, the key, what was found and what was expected."""
    spoil, said = BROKEN[case]
    arrays = made_up()
    path = tmp_path / "broken.h5"
    cfg = compose(f"data.file={path}", "data.events=all")
    for step, error in (("whole", None), ("broken", DataError)):
        with h5py.File(path, "w") as file:
            for name, value in arrays.items():
                file[name] = value
        if error is None:
            assert read_events(make_plan(cfg)).size == 40, step
            spoil(arrays)
            continue
        with pytest.raises(error, match=rf"^{path}: {said}"):
            read_events(make_plan(cfg))


def test_a_missing_file_is_named_with_the_place_looked_in(compose: Compose) -> None:
    with pytest.raises(DataError, match=r"^data\.file: nowhere\.h5 not found \(looked in /.*HDF5"):
        make_plan(compose("data.file=nowhere.h5"))


def test_a_folder_is_no_file(compose: Compose, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^data\.file: .* not found .*; data.file=<path> names"):
        make_plan(compose(f"data.file={tmp_path}"))


@pytest.mark.parametrize("damage", ["text", "half"])
def test_what_is_no_hdf5_file_is_named(
    damage: str, compose: Compose, event_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "broken.h5"
    whole = event_file.read_bytes()
    path.write_bytes(b"pT, eta, phi\n" if damage == "text" else whole[: len(whole) // 2])
    plan = make_plan(compose(f"data.file={path}"))
    with pytest.raises(DataError, match=rf"^{path} cannot be read as HDF5"):
        read_events(plan)


@pytest.mark.parametrize("count", [2, 4, 6])
def test_too_few_events(count: int) -> None:
    with pytest.raises(DataError, match=r"^somewhere\.h5: too few events: .* expected at least 5"):
        load(made_up(count, seed=1), events="all")


def test_more_events_than_there_are() -> None:
    said = r"^somewhere\.h5: data\.events=42 needs 21 events of each class, found 20 .* at most 40"
    with pytest.raises(DataError, match=said):
        load(made_up(40), events=42)


def test_other_data_sets_and_groups_of_the_file_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "more.h5"
    with h5py.File(path, "w") as file:
        for name, value in made_up().items():
            file[name] = value
        file["comment"] = "anything"
        file["group/inner"] = np.ones(3)
        file["weight"] = np.ones(40)
        file["part"] = np.arange(40) % 3
    named = ["jet", "label"]
    assert set(EventFile(file=str(path)).load(named)) == {*named, "weight", "part"}
    arrays = EventFile(file=str(path)).load(fields())
    assert set(load(dict(arrays)).train) == {*fields(), "weight", OWN_WEIGHT}


def test_numbers_are_taken_as_they_are() -> None:
    raw = np.array([[1.5, -2.0], [3.0, 1e9]])
    field = Numbers(shape=[2])
    field.fit(raw)
    assert torch.equal(field.encode(raw), torch.tensor(raw, dtype=torch.float32))
    assert field.scales() == {}


# ------------------------------------------------------------------ batches


def stage_data(
    train: dict[str, Tensor], valid: dict[str, Tensor], test: Any = None, **settings: Any
) -> StageData:
    events = Events(train=train, valid=valid, test=test or {}, fields={})
    common = {"reads": {"x", "y"}, "paired": False, "batch": 4, "evaluation_batch": 20, "seed": 5}
    data = StageData(events, **{**common, **settings})
    data.trainer = SimpleNamespace(current_epoch=0)  # type: ignore[assignment]
    return data


def steps(data: StageData) -> list[tuple[dict[str, Tensor], dict[str, Tensor] | None]]:
    """Training and validation batch of every step of one epoch."""
    loader = data.train_dataloader()
    blocks = list(loader)
    assert len(loader) == len(blocks)
    return [step for block in blocks for step in block]


def orders(seed: int, epochs: list[int]) -> list[list[int]]:
    """The training events of some epochs, in the order of the batches."""
    part = {"x": torch.arange(131), "y": torch.arange(131) * 2, "other": torch.zeros(131)}
    data = stage_data(part, part, seed=seed)
    found = []
    for epoch in epochs:
        data.trainer = SimpleNamespace(current_epoch=epoch)  # type: ignore[assignment]
        torch.manual_seed(len(found))  # the state of the global generator must not matter
        batches = [batch for batch, _ in steps(data)]
        assert [len(one["x"]) for one in batches] == [4] * 32 + [3]
        assert all(torch.equal(one["y"], 2 * one["x"]) for one in batches)
        assert all(set(one) == {"x", "y"} for one in batches)
        found.append(torch.cat([one["x"] for one in batches]).tolist())
    return found


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    forwards = orders(5, [0, 1, 2])
    assert orders(5, [2, 0, 1]) == [forwards[2], forwards[0], forwards[1]]
    assert orders(5, [1]) == [forwards[1]]
    assert forwards[0] != forwards[1]
    assert orders(6, [0])[0] != forwards[0]
    for order in forwards:
        assert sorted(order) == list(range(131))
        assert order != sorted(order)


def test_steps_are_alone_unless_paired() -> None:
    part = {"x": torch.arange(9)}
    assert all(valid is None for _, valid in steps(stage_data(part, part)))


@pytest.mark.parametrize(("train", "valid"), [(131, 40), (40, 131), (50, 50)])
def test_paired_steps_leave_no_event_out(train: int, valid: int) -> None:
    """One pass over the longer part; the shorter one begins again, in another order."""
    data = stage_data({"x": torch.arange(train)}, {"x": torch.arange(valid)}, paired=True)
    found = steps(data)
    assert len(found) == math.ceil(max(train, valid) / 4)
    for part, size in ((0, train), (1, valid)):
        batches = [one[part] for one in found]
        assert all(one is not None for one in batches)
        numbers = [int(value) for one in batches if one is not None for value in one["x"]]
        passes = [numbers[start : start + size] for start in range(0, len(numbers), size)]
        assert sorted(passes[0]) == list(range(size))
        assert all(len(set(one)) == len(one) for one in passes)
        assert len(passes) < 2 or passes[0][: len(passes[1])] != passes[1]
    first_batches = [one["x"].tolist() for one, _ in found]
    assert [one["x"].tolist() for one, _ in steps(data)] == first_batches


def test_validation_batches_are_in_order() -> None:
    part: dict[str, Tensor] = {"x": torch.arange(45)}
    loader = InOrder(part, batch=20)
    assert len(loader) == 3
    for _ in range(2):
        found = [one["x"].tolist() for one in loader]
        assert found == [list(range(n, min(n + 20, 45))) for n in (0, 20, 40)]


def test_a_stage_gets_the_event_weights_but_never_the_test_events() -> None:
    parts = {
        name: {"x": torch.full((6,), value), "weight": torch.full((6,), -value)}
        for name, value in (("train", 1.0), ("valid", 2.0), ("test", 3.0))
    }
    data = stage_data(**parts, paired=True)
    trained = [batch for batch, _ in steps(data)]
    learnt_from = [batch for _, batch in steps(data) if batch is not None]
    assert {float(value) for one in learnt_from for value in one["x"]} == {2.0}
    assert {float(value) for one in trained for value in one["x"]} == {1.0}
    assert {float(value) for one in trained for value in one["weight"]} == {-1.0}
    validated = list(data.val_dataloader())
    assert {float(value) for one in validated for value in one["x"]} == {2.0}
    assert {float(value) for one in validated for value in one["weight"]} == {-2.0}
