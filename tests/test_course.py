"""Rates, clipping, averages and the start of a stage, as the recipe says."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUIET, ROOT, compose_config
from torch import Tensor, nn

from msnas.errors import ConfigError
from msnas.parts import Parts
from msnas.pipeline import ready_parts
from msnas.plan import make_plan
from msnas.settings import Stage
from msnas.training.average import Average
from msnas.training.callbacks import EpochCheckpoint
from msnas.training.progress import Display

EPOCHS, BATCH = 4, 50
ALL = ("schedule=cosine", "clip=0.1", "average=0.9", "keep=last", "start=true", "lr=0.02")


def parts(folder: Path, *of_stage: str, stage: str = "pretrain") -> Parts:
    plus = [f"+recipe.{stage}.{one}" for one in of_stage]
    words = ["problem=toy", "trainer=cpu", "logger=none", "data.source.events=300"]
    words += [f"recipe.{stage}.epochs={EPOCHS}", f"recipe.{stage}.batch={BATCH}"]
    plan = make_plan(compose_config([*words, f"output={folder}", *plus]))
    return ready_parts(plan, Display(QUIET))


def pretrained(ready: Parts) -> dict[str, Any]:
    """Weights and history of one candidate's training."""
    with ready.fit.display.stage("a stage"):
        trained = ready.fit.pretrain(ready.chain, 0, "curve")
    return {"weights": dict(trained.weights), "history": trained.history, "start": trained.start}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "constant"])
def test_the_rate_of_every_step(
    schedule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = []
    step = torch.optim.Adam.step

    def spied(self: torch.optim.Adam, **named: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return step(self, **named)

    monkeypatch.setattr(torch.optim.Adam, "step", spied)
    pretrained(parts(tmp_path, f"schedule={schedule}", "lr=0.02"))
    steps = EPOCHS * math.ceil(180 / BATCH)
    assert len(rates) == steps
    if schedule == "constant":
        assert set(rates) == {0.02}
    if schedule == "cosine":
        expected = [0.02 * (1 + math.cos(math.pi * one / steps)) / 2 for one in range(steps)]
        assert rates == pytest.approx(expected)
    if schedule == "one_cycle":
        peak = 0.3 * steps - 1
        assert rates[0] == pytest.approx(0.02 / 25)
        assert max(rates) <= 0.02
        assert abs(rates.index(max(rates)) - peak) <= 1
        assert rates[-1] < 1e-5


@pytest.mark.parametrize("changed", ["schedule=one_cycle", "clip=1e-3", "average=0.99", "lr=0.02"])
def test_every_setting_has_an_effect(changed: str, tmp_path: Path) -> None:
    before = pretrained(parts(tmp_path, "keep=last"))
    after = pretrained(parts(tmp_path, "keep=last", changed))
    assert not same(before["weights"], after["weights"])


def test_an_average_by_hand() -> None:
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(0.0)
    average = Average(module, decay=0.5)
    expected = 0.0
    for step, value in enumerate((1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0), start=1):
        with torch.no_grad():
            module.weight.fill_(value)
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    with average.in_place():
        assert module.weight.item() == pytest.approx(expected)
    assert module.weight.item() == 9.0


def test_what_is_validated_and_kept_is_the_average(tmp_path: Path) -> None:
    ready = parts(tmp_path, "average=0.9", "keep=last")
    found = pretrained(ready)
    task = ready.chain.tasks[0]
    with torch.no_grad():  # the chain has the kept weights by now
        output = ready.chain.run_on_truth(ready.events.valid, 0, "curve")
        loss = float(task.mean_loss(output, ready.events.valid))
    assert found["history"][-1]["valid/loss"] == pytest.approx(loss, rel=1e-5)


class Interrupted(Exception):  # noqa: N818
    """In place of a kill."""


@pytest.mark.parametrize("after", [0, 2])
def test_a_resumed_stage_ends_as_an_uninterrupted_one(
    after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pretrained(parts(tmp_path / "whole", *ALL))
    keep = EpochCheckpoint.on_train_epoch_end

    def dies(self: EpochCheckpoint, trainer: Any, module: Any) -> None:
        keep(self, trainer, module)
        if trainer.current_epoch == after:
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(EpochCheckpoint, "on_train_epoch_end", dies)
        with pytest.raises(Interrupted):
            pretrained(parts(tmp_path / "killed", *ALL))
    resumed = pretrained(parts(tmp_path / "killed", *ALL))
    assert same(whole["weights"], resumed["weights"])
    assert whole["start"] == resumed["start"]
    numbers = [
        [{k: v for k, v in line.items() if k not in ("seconds", "time")} for line in one["history"]]
        for one in (whole, resumed)
    ]
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("method", ["fixed_chain", "spos"])
def test_no_stage_ends_worse_than_it_began(method: str, keep: str, tmp_path: Path) -> None:
    """Steps so wide that every epoch is worse than the start."""
    from msnas.run import run

    stages = ("pretrain", "search", "posttrain")
    words = ["problem=toy", "trainer=cpu", "logger=none", "data.source.events=300"]
    words += [f"method={method}", f"output={tmp_path}", "recipe.pretrain.epochs=3"]
    words += [f"recipe.{stage}.epochs=2" for stage in stages[1:]]
    words += [f"+recipe.{stage}.lr=30" for stage in stages[1:]]
    words += [
        f"+recipe.{stage}.{one}" for stage in stages for one in ("start=true", f"keep={keep}")
    ]
    result = run(compose_config(words), console=QUIET)
    for stage, one in result["stages"].items():
        assert one["loss"].keys() == one["start"].keys() == one["epochs"].keys()
        for label, start in one["start"].items():
            assert one["loss"][label] <= start
            if stage == "posttrain":
                assert one["loss"][label] == start
    (chain,) = (one for one in result["chains"] if one["stage"] == "posttrain")
    assert chain["valid"]["loss"] == pytest.approx(result["stages"]["posttrain"]["start"]["chain"])


@pytest.mark.parametrize(
    "setting",
    ["schedule=linear", "clip=0", "average=1", "average=0", "keep=first", "start=1", "lr=-1"],
)
def test_a_setting_that_cannot_be_is_refused(setting: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"recipe\.pretrain\.{setting.split('=')[0]}: expected"):
        parts(tmp_path, setting)


def test_the_trainers_clipping_comes_before_the_recipes() -> None:
    from msnas.training.course import set_course

    class Probe:
        schedule = clip = decay = None

    probe: Any = Probe()
    gradient = nn.Parameter(torch.ones(1))
    gradient.grad = torch.full((1,), 8.0)
    machine = {"gradient_clip_val": 2.0}
    set_course(probe, {"epochs": 1, "clip": 0.5}, steps=1, machine=machine)
    probe.clip([gradient])
    assert float(gradient.grad) == pytest.approx(2.0)


def test_the_documentation_names_every_setting() -> None:
    text = (ROOT / "docs" / "recipe.md").read_text()
    named = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", text, flags=re.MULTILINE)))
    assert set(named) >= set(Stage.__annotations__)
    for command in re.findall(r"^python train.py (.*)$", text, flags=re.MULTILINE):
        make_plan(compose_config(["trainer=cpu", *command.split()]))
