"""Pairs of digits: honest split, hand numbers, exact sums; a real run avoids the weak candidates.

Also the array `part`, by which a source or a file decides the split itself.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from conftest import CONF, QUIET, compose_config
from made_events import FRACTIONS, Arrays, load
from omegaconf import OmegaConf
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from msnas.build import build
from msnas.chain.from_config import build_chain
from msnas.chain.output import Classes
from msnas.data.event_file import EventFile
from msnas.data.events import Events
from msnas.data.fields import ClassLabel, Numbers
from msnas.data.source import PARTS, Source
from msnas.errors import ConfigError, DataError
from msnas.evaluation.class_accuracy import ClassAccuracy
from msnas.losses.cross_entropy import CrossEntropy
from msnas.parts import read_events
from msnas.plan import make_plan
from msnas.problems.digit_sum import DigitSum
from msnas.run import run

FIELDS = ("images", "digits", "label")


def candidate(task: str, name: str) -> nn.Module:
    config = OmegaConf.load(CONF / "candidate" / task / f"{name}.yaml")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build(config, key=name, of=nn.Module)
    return module


@pytest.fixture(scope="module")
def raw() -> dict[str, np.ndarray]:
    return DigitSum(pairs=3000, seed=0, fractions=FRACTIONS).load(FIELDS)


# ------------------------------------------------------------------ the pairs


def test_images_digits_and_labels_agree_with_scikit_learn(raw: dict[str, np.ndarray]) -> None:
    digits = load_digits()
    pixels = (digits.images / 16).astype(np.float32)
    truth = dict(zip((image.tobytes() for image in pixels), digits.target, strict=True))
    assert len(truth) == 1797, "no image is there twice"
    assert {name: (str(values.dtype), values.shape) for name, values in raw.items()} == {
        "images": ("float32", (3000, 2, 8, 8)),
        "digits": ("uint8", (3000, 2)),
        "label": ("uint8", (3000,)),
        "part": ("uint8", (3000,)),
    }
    assert (raw["images"].min(), raw["images"].max()) == (0, 1)
    for images, two, label in zip(raw["images"], raw["digits"], raw["label"], strict=True):
        assert [truth[image.tobytes()] for image in images] == two.tolist()
        assert label == (int(two[0]) + int(two[1]) >= 10)


def test_no_image_is_in_two_parts(raw: dict[str, np.ndarray]) -> None:
    seen = [
        {image.tobytes() for pair in raw["images"][raw["part"] == part] for image in pair}
        for part in range(3)
    ]
    assert [len(images) > 300 for images in seen] == [True] * 3
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not seen[one] & seen[other]
    # nor after the events went through the data layer
    events = load_digit_events(raw)
    seen = [
        {image.numpy().tobytes() for pair in getattr(events, part)["images"] for image in pair}
        for part in PARTS
    ]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not seen[one] & seen[other]


def test_parts_digits_and_labels_are_balanced(raw: dict[str, np.ndarray]) -> None:
    assert np.bincount(raw["part"]).tolist() == [1800, 600, 600]
    for part in range(3):
        chosen = raw["part"] == part
        # 45 of the 100 pairs of digits sum to ten or more
        assert raw["label"][chosen].mean() == pytest.approx(0.45, abs=0.06)
        shares = np.bincount(raw["digits"][chosen].ravel(), minlength=10) / (2 * chosen.sum())
        assert shares == pytest.approx(np.full(10, 0.1), abs=0.03)


def test_the_pairs_depend_on_seed_fractions_and_number_alone() -> None:
    def drawn(**changed: Any) -> dict[str, np.ndarray]:
        return DigitSum(**{"pairs": 300, "seed": 1, "fractions": FRACTIONS, **changed}).load(FIELDS)

    first, again, other = drawn(), drawn(), drawn(seed=2)
    for name, values in first.items():
        assert np.array_equal(values, again[name])
    assert not np.array_equal(first["digits"], other["digits"])
    halves = drawn(fractions={"train": 2, "valid": 1, "test": 1})
    assert np.bincount(halves["part"]).tolist() == [150, 75, 75]
    assert len(drawn(pairs=40)["label"]) == 40
    identity = DigitSum(pairs=300, seed=1, fractions=FRACTIONS).identity()
    assert identity == {"class": "DigitSum", "pairs": 300, "seed": 1, "fractions": FRACTIONS}


@pytest.mark.parametrize(
    "fractions", [{"train": 0.5, "valid": 0.5}, {"train": 1.0, "valid": 0.0, "test": 0.2}, {"a": 1}]
)
def test_senseless_fractions_are_refused(fractions: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"^data\.fractions: expected "):
        DigitSum(pairs=300, seed=0, fractions=fractions)


def test_too_few_pairs_are_refused() -> None:
    with pytest.raises(DataError, match=r"^digit_sum: .* 0 pairs for valid"):
        DigitSum(pairs=2, seed=0, fractions={"train": 8, "valid": 1, "test": 1}).load(FIELDS)


def test_split_seed_and_fractions_of_the_configuration_arrive() -> None:
    common = ["problem=digit_sum", "trainer=cpu", "data.source.pairs=400"]
    first, other, halves = (
        read_events(make_plan(compose_config([*common, *more])))
        for more in ([], ["data.split_seed=1"], ["data.fractions={train: 2, valid: 1, test: 1}"])
    )
    assert [len(getattr(first, part)["label"]) for part in PARTS] == [240, 80, 80]
    assert [len(getattr(halves, part)["label"]) for part in PARTS] == [200, 100, 100]
    assert not torch.equal(first.test["images"], other.test["images"])
    assert set(first.train) == {"images", "digits", "label"}


# ------------------------------------------------------------------ a source that gives the parts


def load_digit_events(raw: dict[str, np.ndarray]) -> Events:
    fields = {"images": Numbers(shape=[2, 8, 8]), "digits": ClassLabel(classes=10, shape=[2])}
    return load(Arrays(**raw), {**fields, "label": ClassLabel(classes=2)})


def with_parts(part: Any = None, label: np.ndarray | None = None) -> Arrays:
    """200 events that know their number."""
    label = np.arange(200) % 2 if label is None else label
    more = {} if part is None else {"part": part}
    return Arrays(number=np.arange(200.0), label=label, **more)


def load_numbered(source: Source, **settings: Any) -> dict[str, list[int]]:
    """The numbers of the events in each part."""
    loaded = load(source, **settings)
    assert set(loaded.train) == {"number", "label"}
    return {part: getattr(loaded, part)["number"].int().tolist() for part in PARTS}


OWN = np.repeat(np.array([0, 1, 2], dtype=np.uint8), [100, 60, 40])


def test_the_given_parts_are_kept() -> None:
    for split_seed in (0, 1):
        found = load_numbered(with_parts(OWN), split_seed=split_seed)
        assert sorted(found["train"]) == list(range(100))
        assert sorted(found["valid"]) == list(range(100, 160))
        assert sorted(found["test"]) == list(range(160, 200))
    without = load_numbered(with_parts())
    assert [len(without[part]) for part in PARTS] == [120, 40, 40]
    assert set(without["test"]) != set(found["test"])


@pytest.mark.parametrize("events", [20, 50, 128, 198])
def test_fewer_events_keep_the_shares_of_the_given_parts(events: int) -> None:
    found = load_numbered(with_parts(OWN), events=events)
    assert [len(found[part]) for part in PARTS] == pytest.approx(
        [0.5 * events, 0.3 * events, 0.2 * events], abs=2
    )
    for number, part in enumerate(PARTS):
        assert len(set(found[part])) == len(found[part])
        assert (OWN[found[part]] == number).all()
    everywhere = [one for part in PARTS for one in found[part]]
    assert sum(one % 2 for one in everywhere) == events // 2 == len(everywhere) // 2
    other = load_numbered(with_parts(OWN), events=events, split_seed=1)
    assert set(everywhere) != {one for part in PARTS for one in other[part]}


def test_each_class_keeps_its_own_shares_of_the_given_parts() -> None:
    label = (np.arange(200) % 5 == 0).astype(int)
    label[:50] = 0
    found = load_numbered(with_parts(OWN, label), events=60)
    # of class 1 there are 10 in training, 12 in validation, 8 in test: all of them are taken
    assert [int(label[found[part]].sum()) for part in PARTS] == [10, 12, 8]
    assert sum(len(found[part]) for part in PARTS) == 60


def test_a_file_may_give_the_parts(tmp_path: Path) -> None:
    path = tmp_path / "parts.h5"
    with h5py.File(path, "w") as file:
        for name, values in with_parts(OWN).arrays.items():
            file[name] = values
    assert load_numbered(EventFile(file=str(path))) == load_numbered(with_parts(OWN))


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (OWN.astype(float), r"part: found type float64 of shape \[200\], expected whole numbers"),
        (OWN[:, None], r"part: found type uint8 of shape \[200, 1\], expected .* \[event\]"),
        (OWN > 0, r"part: found type bool"),
        (OWN + 1, r"part: found \[1, 2, 3\], expected every one of \{0: 'train', 1: 'valid', "),
        (OWN % 2, r"part: found \[0, 1\], expected every one of .*2: 'test'"),
        (OWN[:-1], r"numbers of events differ, .*'part': 199"),
        ((np.arange(200) % 2) * (1 + (OWN > 0)), r"too few events: 100 of a class leave none for "),
    ],
)
def test_parts_that_cannot_be(part: np.ndarray, said: str) -> None:
    with pytest.raises(DataError, match=rf"^somewhere\.h5: {said}"):
        load_numbered(with_parts(part))


# ------------------------------------------------------------------ loss and metric


def test_cross_entropy_by_hand() -> None:
    # probabilities 1/4, 3/4 and 1/2, 1/2 of two things with two classes each
    logits = torch.tensor([[[0.0, math.log(3)], [7.0, 7.0]], [[0.0, math.log(3)], [1.0, 1.0]]])
    loss = CrossEntropy()(logits, torch.tensor([[1, 0], [0, 1]]))
    expected = [-math.log(3 / 4) - math.log(1 / 2), -math.log(1 / 4) - math.log(1 / 2)]
    assert loss.tolist() == pytest.approx(expected, rel=1e-6)
    plain = CrossEntropy()(logits[:, 0], torch.tensor([1, 0]))
    assert plain.tolist() == pytest.approx([-math.log(3 / 4), -math.log(1 / 4)], rel=1e-6)


@pytest.mark.parametrize("shape", [(), (2,), (3, 4)])
def test_cross_entropy_is_the_sum_over_an_events_things(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, *shape, 10, generator=generator, requires_grad=True)
    target = torch.randint(10, (5, *shape), generator=generator)
    loss = CrossEntropy()(logits, target)
    assert loss.shape == (5,)
    chosen = logits.log_softmax(-1).gather(-1, target.unsqueeze(-1))
    torch.testing.assert_close(loss, -chosen.reshape(5, -1).sum(1))
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    torch.testing.assert_close(gradient, logits.softmax(-1) - functional.one_hot(target, 10))
    certain = CrossEntropy()(1e4 * functional.one_hot(target, 10).float(), target)
    assert certain.tolist() == [0.0] * 5


def test_accuracy_counts_things_not_events() -> None:
    accuracy = ClassAccuracy()
    assert accuracy.higher_is_better is True
    one_hot = functional.one_hot(torch.tensor([[3, 5], [0, 9], [1, 1]]), 10).float()
    accuracy.update(one_hot, torch.tensor([[3, 5], [0, 8], [2, 2]]))
    assert float(accuracy.compute()) == pytest.approx(3 / 6)
    accuracy.update(one_hot[:1], torch.tensor([[3, 5]]))
    assert float(accuracy.compute()) == pytest.approx(5 / 8)
    accuracy.reset()
    accuracy.update(one_hot[:, 0], torch.tensor([3, 0, 0]))
    assert float(accuracy.compute()) == pytest.approx(2 / 3)


# ------------------------------------------------------------------ candidates, handing on


def all_pairs() -> torch.Tensor:
    """The digits of all 100 pairs."""
    return torch.cartesian_prod(torch.arange(10), torch.arange(10))


def test_sum_is_exact() -> None:
    module = candidate("digit_sum", "sum")
    assert not list(module.parameters())
    pairs = all_pairs()
    sure = module({"digits": functional.one_hot(pairs, 10).float()})
    assert torch.equal(sure > 0, pairs.sum(1) >= 10)
    probabilities = torch.randn(6, 2, 10, generator=torch.Generator().manual_seed(0)).softmax(-1)
    expected = [
        sum(float(first[a] * second[b]) for a, b in pairs.tolist() if a + b >= 10)
        for first, second in probabilities
    ]
    odds = [math.log((p + 1e-3) / (1 - p + 1e-3)) for p in expected]
    assert module({"digits": probabilities}).tolist() == pytest.approx(odds, abs=1e-5)


def test_what_the_weak_candidates_cannot_see() -> None:
    generator = torch.Generator().manual_seed(0)
    digits = torch.randn(7, 2, 10, generator=generator).softmax(-1)
    other = torch.stack([digits[:, 0], digits[:, 1].flip(-1)], 1)
    blind = candidate("digit_sum", "first")
    assert torch.equal(blind({"digits": digits}), blind({"digits": other}))
    assert not torch.allclose(blind({"digits": digits}), blind({"digits": digits.flip(1)}))
    images = torch.rand(7, 2, 8, 8, generator=generator)
    rows = candidate("digit_recognition", "rows")
    torch.testing.assert_close(rows({"images": images}), rows({"images": images.flip(-1)}))
    assert not torch.allclose(rows({"images": images}), rows({"images": images.flip(-2)}))


def test_who_shares_weights_between_the_digits() -> None:
    images = torch.rand(7, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    for name, shares in (("cnn", True), ("rows", True), ("mlp", False)):
        module = candidate("digit_recognition", name)
        straight, swapped = module({"images": images}), module({"images": images.flip(1)})
        assert straight.shape == (7, 2, 10)
        assert torch.allclose(straight, swapped.flip(1), atol=1e-6) is shares


def test_digits_are_handed_on_one_hot_or_as_probabilities() -> None:
    output = Classes(shape=[2, 10])
    one_hot = output.from_truth(torch.tensor([[3, 9]]))
    assert one_hot.nonzero().tolist() == [[0, 0, 3], [0, 1, 9]]
    assert one_hot.sum() == 2
    config = OmegaConf.to_container(compose_config(["problem=digit_sum"]), resolve=True)
    assert isinstance(config, dict)
    chain = build_chain(config["tasks"], ["digit_recognition", "digit_sum"], seed=0)
    generator = torch.Generator().manual_seed(0)
    pairs = all_pairs()
    batch = {
        "images": torch.rand(100, 2, 8, 8, generator=generator),
        "digits": pairs,
        "label": (pairs.sum(1) >= 10).long(),
    }
    on_truth = chain.run_on_truth(batch, 1, "sum")
    assert torch.equal(on_truth > 0, batch["label"].bool())
    logits, logit = chain.run(batch, ("cnn", "sum"))
    assert logits.shape == (100, 2, 10)
    probabilities = torch.exp(logits) / torch.exp(logits).sum(-1, keepdim=True)
    expected = chain.candidate(1, "sum")({"digits": probabilities})
    torch.testing.assert_close(logit, expected)
    assert not torch.allclose(logit, on_truth)


# ------------------------------------------------------------------ the real pipeline


def test_a_short_run_avoids_the_weak_candidates(tmp_path: Path) -> None:
    short = ["recipe.pretrain.epochs=5", "recipe.search.epochs=9", "recipe.posttrain.epochs=4"]
    words = ["problem=digit_sum", "trainer=cpu", "logger=none", "data.source.pairs=2000", *short]
    result = run(compose_config([*words, f"output={tmp_path}"]), console=QUIET)
    ranked = [one for one in result["chains"] if one["stage"] == "search"]
    assert len(ranked) == 9
    assert result["selected"]["digit_recognition"] == "cnn"
    assert result["selected"]["digit_sum"] in ("sum", "mlp")
    losses = {tuple(one["selected"].values()): one["valid"]["loss"] for one in ranked}
    for reader in ("cnn", "mlp"):
        assert losses[reader, "first"] > losses[reader, "sum"] + 0.1
    for judge in ("mlp", "sum", "first"):
        assert losses["rows", judge] > losses["cnn", judge] + 0.2
    test = result["metrics"]["test"]
    assert test["digit_sum/auc"] > 0.96
    assert test["digit_recognition/accuracy"] > 0.9
    assert result["directions"]["digit_recognition/accuracy"] is True
