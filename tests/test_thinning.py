"""A class made rarer in training: how many stay, which ones, and that nothing else changes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from conftest import ROOT, compose_config
from made_events import Arrays, numbered, numbered_fields
from made_events import load as load_source

from msnas.build import build
from msnas.data.event_file import EventFile
from msnas.data.events import PARTS, Events
from msnas.data.fields import Field, LogPixels
from msnas.data.source import Source
from msnas.data.thinning import thin
from msnas.errors import ConfigError, DataError
from msnas.plan import make_plan


def load(
    source: Source, fraction: Any = None, *, rare: Any = 1, classes: int = 2, **settings: Any
) -> Events:
    settings = {"thin": {"class": rare, "fraction": fraction}, **settings}
    return load_source(source, numbered_fields(classes), **settings)


def numbers(events: Events, part: str, of_class: int) -> list[int]:
    """Numbers of a part's events of one class, in their order."""
    values = getattr(events, part)
    return values["number"][values["label"] == of_class].int().tolist()


# ------------------------------------------------------------------ how many


@pytest.mark.parametrize(
    ("fraction", "kept"),
    [
        (0.1, 67),  # 600 / 9 = 66.7
        (0.01, 6),  # 600 / 99 = 6.06
        (0.25, 200),  # 600 / 3
        (0.3, 257),  # 600 * 3 / 7 = 257.1
        (1 / 3, 300),  # all there are
        (None, 300),
    ],
)
def test_the_class_makes_up_the_fraction(fraction: float | None, kept: int) -> None:
    events = load(numbered(1000, 500), fraction)
    assert events.class_counts("label") == {
        "train": {"0": 600, "1": kept},
        "valid": {"0": 200, "1": 100},
        "test": {"0": 200, "1": 100},
    }
    assert events.size == 600 + kept + 600
    if fraction is not None:
        assert kept / (600 + kept) == pytest.approx(fraction, abs=0.5 / 600)


def test_of_several_classes_one_is_thinned() -> None:
    events = load(numbered(100, 200, 300), 0.2, rare=2, classes=3)
    # 180 others stay, a quarter of that is a fifth of the whole
    assert events.class_counts("label")["train"] == {"0": 60, "1": 120, "2": 45}


def test_the_thinning_comes_after_the_choice_of_events() -> None:
    counts = load(numbered(1000, 500), 0.1, events=500).class_counts("label")
    assert counts["train"] == {"0": 150, "1": 17}  # 250 each, 150 in training, 150 / 9
    assert counts["test"] == {"0": 50, "1": 50}


def test_the_embedded_taus_are_a_tenth() -> None:
    plan = make_plan(compose_config(["problem=tau_vs_jet", "trainer=cpu"]))
    data = plan.config["data"]
    with h5py.File(ROOT / "data" / "tau_jet.h5") as file:
        label = file["label"][()]
    names = ("events", "split_seed", "fractions", "stratify", "thin")
    events = load_source(
        Arrays(label=label),
        {"label": build(data["fields"]["label"], key="label", of=Field)},
        **{name: data[name] for name in names},
    )
    assert events.class_counts("label") == {
        "train": {"0": 9910, "1": 1101},
        "valid": {"0": 3304, "1": 1651},
        "test": {"0": 3303, "1": 1652},
    }


# ------------------------------------------------------------------ which ones


def test_smaller_fractions_are_nested() -> None:
    source = numbered(1000, 500)
    kept = [
        numbers(load(source, fraction), "train", 1) for fraction in (0.01, 0.05, 0.1, 0.3, None)
    ]
    for fewer, more in pairwise(kept):
        assert len(fewer) < len(more)
        assert set(fewer) < set(more)
    assert [len(set(one)) for one in kept] == [len(one) for one in kept]


def test_everything_else_stays_as_it_is() -> None:
    source = numbered(1000, 500)
    whole, thinned = load(source, None), load(source, 0.1)
    for part in ("valid", "test"):
        for name in ("number", "label"):
            assert torch.equal(getattr(whole, part)[name], getattr(thinned, part)[name])
    assert numbers(whole, "train", 0) == numbers(thinned, "train", 0)
    kept = set(thinned.train["number"].tolist())
    order = [one for one in whole.train["number"].tolist() if one in kept]
    assert order == thinned.train["number"].tolist()


def test_thinning_nothing_is_no_thinning() -> None:
    source = numbered(100, 50)
    without = load_source(source)
    for part in PARTS:
        assert torch.equal(
            getattr(without, part)["number"], getattr(load(source, None), part)["number"]
        )


def test_losses_of_the_other_parts_see_the_mixture_of_the_training_part() -> None:
    events = load(numbered(1000, 500), 0.1)
    assert "weight" not in events.train
    share = 67 / 667
    for values in (events.valid, events.test):
        weight = values["weight"]
        assert float(weight.mean()) == pytest.approx(1, rel=1e-6)
        of_class = weight[values["label"] == 1].sum() / weight.sum()
        assert float(of_class) == pytest.approx(share, rel=1e-6)
    (equal,) = load(numbered(1000, 500), None).valid["weight"].unique().tolist()
    assert equal == pytest.approx(1, rel=1e-6)


def test_the_split_seed_decides() -> None:
    source = numbered(1000, 500)
    first, again, other = (
        numbers(load(source, 0.1, split_seed=seed), "train", 1) for seed in (0, 0, 1)
    )
    assert first == again
    assert set(first) != set(other)
    # drawn from all over the class: 67 of 300 without a preference for low numbers
    assert abs(np.mean(first) - 1250) < 4 * (500 / 12**0.5) / 67**0.5


def test_a_given_split_is_thinned_too() -> None:
    part = np.resize(np.array([0, 0, 0, 1, 2], dtype=np.uint8), 1500)
    events = load(numbered(1000, 500, part=part), 0.1)
    assert events.class_counts("label")["train"] == {"0": 600, "1": 67}
    assert all(part[number] == 0 for number in numbers(events, "train", 1))


def test_scales_and_weights_are_those_of_the_thinned_part() -> None:
    image = np.zeros((150, 3, 2, 2), dtype=np.float32)
    image[:100, :, 0, 0] = np.linspace(1, 2, 100)[:, None]  # jets
    image[100:, :, 0, 0] = np.linspace(1, 50, 50)[:, None]  # taus
    weight = np.repeat([1.0, 3.0], [100, 50])
    events = load_source(
        numbered(100, 50, image=image, weight=weight),
        {**numbered_fields(), "image": LogPixels(shape=[3, 2, 2])},
        thin={"class": 1, "fraction": 0.1},
    )
    chosen = events.train["number"].int().numpy()
    assert len(chosen) == 60 + 7
    expected = np.log1p(image[chosen, 0, 0, 0].astype(np.float64)).std()
    assert events.fields["image"].scales()["channels"][0] == pytest.approx(expected, rel=1e-6)
    assert float(events.train["weight"].mean()) == pytest.approx(1, rel=1e-6)
    ratio = events.train["weight"].max() / events.train["weight"].min()
    assert float(ratio) == pytest.approx(3, rel=1e-6)


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize("fraction", [0, -0.1, 1.5, float("nan"), True, "a tenth", [0.1]])
def test_a_fraction_is_a_number_above_0_and_at_most_1(fraction: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"^data\.thin\.fraction: expected a number above 0, at most 1, or null"
    ):
        load(numbered(100, 50), fraction)


@pytest.mark.parametrize("fraction", [0.35, 0.9, 1])
def test_more_than_there_are_is_refused_with_the_largest_possible(fraction: float) -> None:
    with pytest.raises(
        ConfigError,
        match=rf"^data\.thin\.fraction: found {fraction}, but class 1 makes up only 300 of 900 "
        r"training events; at most 0\.333333, or null for all$",
    ):
        load(numbered(1000, 500), fraction)
    assert load(numbered(1000, 500), 0.333333).class_counts("label")["train"]["1"] == 300


def test_none_left_is_refused_with_the_smallest_possible() -> None:
    with pytest.raises(ConfigError, match=r"leaves no event of class 1 .*; at least 0\.016394$"):
        load(numbered(100, 50), 0.005)
    assert load(numbered(100, 50), 0.016394).class_counts("label")["train"]["1"] == 1


@pytest.mark.parametrize("rare", [2, -1, None, "tau", True])
def test_a_class_that_does_not_occur_is_refused(rare: Any) -> None:
    with pytest.raises(ConfigError, match=r"^data\.thin\.class: expected one of \[0, 1\], found"):
        load(numbered(100, 50), 0.1, rare=rare)


def test_the_settings_are_class_and_fraction() -> None:
    label, train = np.array([0, 1]), np.array([0, 1])
    for settings in ({"class": 1}, {"class": 1, "fraction": 0.1, "part": "test"}, {}):
        with pytest.raises(ConfigError, match=r"^data\.thin: expected class and fraction, found"):
            thin(label, train, settings)
    with pytest.raises(ConfigError, match=r"^data\.thin: needs one class per event.*\[2\]"):
        thin(np.zeros((4, 2)), np.arange(4), {"class": 1, "fraction": 0.1})


# ------------------------------------------------------------------ identity


def test_the_fraction_is_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("msnas.plan.code_of", lambda _: {"all": "the same code"})
    keys = {
        make_plan(
            compose_config(["problem=tau_vs_jet", "trainer=cpu", f"data.tau_fraction={fraction}"])
        ).key
        for fraction in ("0.1", "0.01", "null", "1e-1")
    }
    assert len(keys) == 3


def test_event_files_of_one_class_are_refused_before(tmp_path: Path) -> None:
    path = tmp_path / "jets.h5"
    with h5py.File(path, "w") as file:
        file["number"], file["label"] = np.arange(20.0), np.zeros(20, dtype=np.uint8)
    with pytest.raises(DataError, match=r"label: found only class \[0\]"):
        load(EventFile(file=str(path)), 0.1)
