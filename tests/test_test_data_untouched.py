"""Nothing but the last evaluation sees the test events: spoilt ones change nothing before it."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUIET, Compose, finished_below
from omegaconf import DictConfig
from same_numbers import tensor_bytes, without_volatile
from torch import Tensor

import msnas.evaluation.evaluate
import msnas.parts
import msnas.scoring
from msnas.data.events import Events
from msnas.errors import MsnasError
from msnas.parts import read_events
from msnas.run import run

EPOCHS = ["recipe.pretrain.epochs=3", "recipe.search.epochs=4", "recipe.posttrain.epochs=3"]


def spoilt(value: Tensor) -> Tensor:
    """NaN, or the other class."""
    return torch.full_like(value, math.nan) if value.is_floating_point() else 1 - value


class Watch:
    """Which parts of the data the chain was evaluated on, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, poison: bool) -> None:
        self.events: Events
        self.seen: list[str] = []
        collect = msnas.evaluation.evaluate.collect_outputs

        def read(*arguments: Any) -> Events:
            self.events = read_events(*arguments)
            if poison:
                test = {name: spoilt(value) for name, value in self.events.test.items()}
                self.events = dataclasses.replace(self.events, test=test)
            return self.events

        def watched(chain: Any, part: Any, **named: Any) -> Any:
            self.seen += [
                name for name in ("train", "valid", "test") if getattr(self.events, name) is part
            ]
            return collect(chain, part, **named)

        monkeypatch.setattr(msnas.parts, "read_events", read)
        for module in (msnas.evaluation.evaluate, msnas.scoring):
            monkeypatch.setattr(module, "collect_outputs", watched)


def files(output: Path) -> dict[str, Any]:
    """Selection, history and all weights of the only run below `output`."""
    (model,) = output.glob("htautau/*/*/model.ckpt")
    loaded = torch.load(model, weights_only=True)
    lines = (model.parent / "history.jsonl").read_text().splitlines()
    cache = output / "cache"
    return {
        "selected": loaded["selected"],
        "scales": loaded["scales"],
        "weights": tensor_bytes(model),
        "history": [without_volatile(json.loads(line)) for line in lines],
        "store": {
            path.relative_to(cache).as_posix(): tensor_bytes(path)
            for path in sorted(cache.glob("*/*/weights.pt"))
        },
    }


def attempt(cfg: DictConfig) -> dict[str, Any] | Exception:
    """The result, or the error that says a number is not finite."""
    try:
        return run(cfg, console=QUIET)
    except (MsnasError, ValueError) as error:
        return error


def test_spoilt_test_events_change_nothing_but_the_test_numbers(
    compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, outcome = {}, {}
    for name in ("clean", "spoilt"):
        with monkeypatch.context() as patch:
            watch = Watch(patch, poison=name == "spoilt")
            outcome[name] = attempt(compose(*EPOCHS, f"output={tmp_path / name}"))
        assert watch.seen.count("test") == 1
        assert watch.seen[-1] == "test"
        assert "valid" in watch.seen
        found[name] = files(tmp_path / name)
    clean, spoilt_outcome = outcome["clean"], outcome["spoilt"]
    assert isinstance(clean, dict)
    assert math.isfinite(clean["metrics"]["test"]["loss"])
    # a number that is not finite never gets into a result
    assert isinstance(spoilt_outcome, Exception)
    assert not finished_below(tmp_path / "spoilt")
    assert found["clean"]["history"]
    assert len(found["clean"]["store"]) == 6
    assert found["spoilt"] == found["clean"]


def test_spoilt_validation_events_are_noticed(
    compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison above would see a change: another validation part, another training."""
    found = []
    for name in ("clean", "changed"):
        with monkeypatch.context() as patch:

            def read(*arguments: Any, name: str = name) -> Events:
                events = read_events(*arguments)
                if name == "clean":
                    return events
                return dataclasses.replace(events, valid=events.test)

            patch.setattr(msnas.parts, "read_events", read)
            assert isinstance(attempt(compose(*EPOCHS, f"output={tmp_path / name}")), dict)
        found.append(files(tmp_path / name))
    assert found[0]["history"] != found[1]["history"]
