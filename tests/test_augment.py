"""Augmentation: training events turned and mirrored anew in every epoch."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from conftest import QUIET, compose_config, small_run

from msnas.candidates.mass import invariant_mass
from msnas.chain.chain import handed_on
from msnas.chain.from_config import build_tasks
from msnas.data.augment import RandomTurns
from msnas.data.events import Events
from msnas.data.module import ShuffledBlocks, StageData
from msnas.parts import read_events
from msnas.plan import make_plan
from msnas.run import run

TURNS = RandomTurns(momenta=["jet", "tau"], images=["image"])


@pytest.fixture(scope="module")
def events(event_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Events:
    folder = tmp_path_factory.mktemp("runs")
    return read_events(make_plan(compose_config([*small_run(event_file, folder), "augment=turns"])))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_an_event_is_turned_as_a_whole(events: Events) -> None:
    """Masses, transverse momenta and angles between objects stay; directions are all over."""
    before, after = events.train, TURNS.draw(events.train, generator())
    for name in ("jet", "tau"):
        torch.testing.assert_close(after[name][..., 0], before[name][..., 0], rtol=0, atol=0)
        torch.testing.assert_close(after[name][..., 1].abs(), before[name][..., 1].abs())
        torch.testing.assert_close(
            invariant_mass(after[name][..., :3]),
            invariant_mass(before[name][..., :3]),
            rtol=1e-3,
            atol=0.01,
        )
        apart = [
            torch.remainder(one[name][:, 0, 2] - one[name][:, 1, 2] + math.pi, 2 * math.pi)
            - math.pi
            for one in (before, after)
        ]
        torch.testing.assert_close(apart[0].abs(), apart[1].abs(), rtol=1e-4, atol=1e-5)
    turned = after["jet"][:, 0, 2]
    assert torch.histc(turned, 4, -math.pi, math.pi).min() > 0.15 * len(turned)
    mirrored = (after["jet"][:, 0, 1] * before["jet"][:, 0, 1] < 0).float().mean()
    assert 0.3 < float(mirrored) < 0.7


def test_images_are_mirrored_with_their_jets(events: Events) -> None:
    before, after = events.train, TURNS.draw(events.train, generator())
    ways = set()
    for index in range(40):
        eta = bool(before["jet"][index, 0, 1] * after["jet"][index, 0, 1] < 0)
        image = before["image"][index].flip(-2) if eta else before["image"][index]
        phi = not torch.equal(image, after["image"][index])
        assert torch.equal(image.flip(-1) if phi else image, after["image"][index])
        ways.add((eta, phi))
    assert len(ways) == 4


def test_what_a_task_hands_on_turns_with_the_event(events: Events) -> None:
    plan = make_plan(compose_config(["trainer=cpu"]))
    name = handed_on(build_tasks(plan.config["tasks"], plan.chain)[0])
    after = TURNS.draw({**events.train, name: events.train["tau"]}, generator())
    assert torch.equal(after[name], after["tau"])
    assert torch.equal(after["label"], events.train["label"])


def test_every_epoch_draws_anew_and_validation_events_stay(events: Events) -> None:
    assert isinstance(events.augment, RandomTurns)
    data = StageData(events, reads={"jet"}, paired=True, batch=500, evaluation_batch=500, seed=0)
    (batch,) = data.val_dataloader()
    assert torch.equal(batch["jet"], events.valid["jet"])
    epochs = []
    for epoch in (0, 1, 0):
        blocks = ShuffledBlocks(
            data.train,
            batch=500,
            generator=lambda epoch=epoch: generator(epoch),
            valid=data.valid,
            augment=events.augment,
        )
        ((train, valid),) = next(iter(blocks))
        assert valid is not None
        known = {round(float(one), 4) for one in events.valid["jet"][:, 0, 2]}
        assert {round(float(one), 4) for one in valid["jet"][:, 0, 2]} == known
        epochs.append(train["jet"][:, 0])
    assert torch.equal(epochs[0], epochs[2])
    assert not torch.equal(epochs[0].sort(0).values, epochs[1].sort(0).values)


def test_a_run_says_what_its_events_were(event_file: Path, tmp_path: Path) -> None:
    """Numbers change; without `augment` the identity is the same as ever."""
    words = small_run(event_file, tmp_path)
    plain, none, turned = (
        make_plan(compose_config([*words, *more]))
        for more in ([], ["augment=none"], ["augment=turns"])
    )
    assert plain.key == none.key != turned.key
    losses = [
        run(compose_config([*words, *more]), console=QUIET)["metrics"]["valid"][
            "tau_calibration/mse"
        ]
        for more in ([], ["augment=turns"])
    ]
    assert losses[0] != losses[1]
