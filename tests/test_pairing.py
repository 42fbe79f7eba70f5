"""Training and validation batches side by side: every event of both parts, whichever is longer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from msnas.chain.chain import Chain
from msnas.chain.output import Regression
from msnas.chain.task import Task
from msnas.data.events import Batch, Events
from msnas.data.module import STEPS_PER_BLOCK, ShuffledBlocks, StageData, Step
from msnas.losses.squared_error import SquaredError
from msnas.methods.asng import ASNG
from msnas.weighting.fixed import Fixed


def numbered(count: int, start: int = 0) -> Batch:
    """Events that are their own numbers."""
    return {"x": torch.arange(start, start + count, dtype=torch.float32).unsqueeze(1)}


def numbers(batches: list[Batch]) -> list[int]:
    return [int(value) for batch in batches for value in batch["x"]]


def epoch(train: int, valid: int, batch: int, seed: int = 0) -> list[Step]:
    blocks = ShuffledBlocks(
        numbered(train),
        batch=batch,
        generator=lambda: torch.Generator().manual_seed(seed),
        valid=numbered(valid, start=1000),
    )
    found = list(blocks)
    assert len(found) == len(blocks)
    assert all(len(block) == STEPS_PER_BLOCK for block in found[:-1])
    steps = [step for block in found for step in block]
    assert len(steps) == blocks.steps
    return steps


@pytest.mark.parametrize(
    ("train", "valid"), [(100, 33), (33, 100), (57, 57), (41, 5), (5, 41), (260, 87), (1, 30)]
)
@pytest.mark.parametrize("batch", [1, 4, 10])
def test_every_event_of_both_parts_in_every_pass(train: int, valid: int, batch: int) -> None:
    steps = epoch(train, valid, batch)
    assert len(steps) == math.ceil(max(train, valid) / batch)
    for part, size, first in ((0, train, 0), (1, valid, 1000)):
        seen = numbers([step[part] for step in steps])  # type: ignore[misc]
        whole = range(first, first + size)
        assert set(seen) == set(whole)  # stopping with the shorter part would lose some
        passes = [seen[start : start + size] for start in range(0, len(seen), size)]
        for one in passes:
            assert len(set(one)) == len(one)
            assert sorted(one) == list(whole) or one is passes[-1]
        counts = [seen.count(number) for number in whole]
        assert max(counts) - min(counts) <= 1
        if size > 4:
            assert all(one[: len(other)] != other for one, other in pairwise(passes))
            assert seen[:size] != list(whole)


def test_the_order_is_the_generators_alone() -> None:
    def order(seed: int) -> list[list[int]]:
        steps = epoch(30, 12, 4, seed=seed)
        return [numbers([step[part] for step in steps]) for part in (0, 1)]  # type: ignore[misc]

    first = order(1)
    torch.manual_seed(99)
    assert order(1) == first
    assert all(one != other for one, other in zip(order(2), first, strict=True))


class Recorder(nn.Module):
    """A line that remembers the events of its batches, separately with and without gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))
        self.seen: dict[str, list[int]] = {"weights": [], "theta": [], "watching": []}

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        if torch.is_inference_mode_enabled() or not self.training:
            use = "watching"
        else:
            use = "weights" if torch.is_grad_enabled() else "theta"
        self.seen[use] += [int(value) for value in inputs["x"]]
        output: Tensor = self.scale * inputs["x"] * 0
        return output


# Lightning 2.6.6 calls what PyTorch 2.13 has renamed
@pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*:FutureWarning")
@pytest.mark.parametrize(("train", "valid"), [(90, 37), (37, 90)])
def test_a_search_learns_from_every_event_of_its_own_part(
    train: int, valid: int, tmp_path: Any
) -> None:
    """Two epochs of ASNG: the weights see all training events, theta all validation events."""
    task = Task(name="one", inputs=("x",), target="y", output=Regression(shape=[1]),
                loss=SquaredError(), metrics={})  # fmt: skip
    recorder = Recorder()
    method = ASNG(floor=0.1).search(
        chain=Chain([task], {"one": {"only": recorder}}),
        weighting=Fixed().prepare([1.0]),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        seed=0,
    )
    parts = {
        name: {**numbered(count, start), "y": torch.zeros(count, 1)}
        for name, count, start in (("train", train, 0), ("valid", valid, 1000), ("test", 5, 5000))
    }
    data = StageData(
        Events(**parts, fields={}),
        reads=method.reads(),
        paired=method.learns_from_validation,
        batch=8,
        evaluation_batch=50,
        seed=3,
    )
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        default_root_dir=tmp_path,
    )
    trainer.fit(method, datamodule=data)
    everything = {
        "weights": set(range(train)),
        "theta": set(range(1000, 1000 + valid)),
        "watching": set(range(1000, 1000 + valid)),
    }
    assert {use: set(seen) for use, seen in recorder.seen.items()} == everything
    # two drawn chains per step, two epochs; the longer part once each, none of its events less
    longer = "weights" if train > valid else "theta"
    counts = [recorder.seen[longer].count(number) for number in everything[longer]]
    assert counts == [4] * len(counts)
