"""Candidates of DARTS that overfit stop to learn: by hand, in both searches, in a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUIET, compose_config
from made_chain import Times, regression
from torch import Tensor, nn

import msnas
from msnas.chain.chain import Chain
from msnas.methods.freezing import STEPS, Freezing
from msnas.run import run
from msnas.weighting.fixed import Fixed


def judged(freezing: Freezing, own: nn.Parameter, train: Tensor, valid: Tensor) -> None:
    """A step in which the gradients of a parameter are those two."""
    own.grad = train.clone()
    freezing.judge((valid * own).sum())


def test_the_mean_cosine_by_hand() -> None:
    """(3, 4) and (4, 3) have the cosine 24/25, (3, 4) and (-4, 3) have 0: 12/25 in the mean."""
    train = torch.tensor([3.0, 4.0])
    sides = [torch.tensor([4.0, 3.0]), torch.tensor([-4.0, 3.0])]
    for threshold, frozen in ((0.47, False), (0.49, True)):
        own = nn.Parameter(torch.zeros(2))
        freezing = Freezing([[own]], threshold=threshold)
        for step in range(STEPS):
            assert not freezing.frozen
            judged(freezing, own, train, sides[step % 2])
            if step == STEPS - 2:
                assert float(freezing.sums) == pytest.approx((STEPS // 2) * 24 / 25)
        assert bool(freezing.frozen) == frozen
        assert (own.grad is None) == frozen
        assert int(freezing.counts) == 0
        judged(freezing, own, train, sides[0])
        assert (own.grad is None) == frozen  # for good


def test_a_step_counts_for_those_that_took_part_and_can_be_told_from_it() -> None:
    one, other, still = (nn.Parameter(torch.ones(2)) for _ in range(3))
    freezing = Freezing([[one], [other], [still], []], threshold=0.0)
    still.grad = torch.zeros(2)
    one.grad = torch.ones(2)
    freezing.judge((one + still).sum())
    assert freezing.counts.tolist() == [1, 0, 0, 0]
    assert freezing.sums.tolist() == pytest.approx([1.0, 0, 0, 0])
    # what has been counted is in a checkpoint
    again = Freezing([[one], [other], [still], []], threshold=0.0)
    again.load_state_dict(freezing.state_dict())
    assert again.counts.tolist() == [1, 0, 0, 0]


TRAIN = {"x": torch.ones(4), "y": torch.full((4,), 2.0)}
VALID = {"x": torch.ones(4), "y": torch.full((4,), 3.0)}


def search(relaxation: str, **options: Any) -> Any:
    """Of y = a x, a from 1 or from 2.5, as the training events say 2 and the others 3."""
    candidates = {"below": Times(1.0), "between": Times(2.5)}
    made: Any = msnas.DARTS(relaxation=relaxation, **options).search(
        chain=Chain([regression("one", "x", "y")], {"one": candidates}),
        weighting=Fixed().prepare([1.0]),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1e-4),
        seed=0,
    )
    made.generator.manual_seed(0)
    optimizers = made.make_optimizers()
    made.optimizers = lambda: optimizers
    made.weight_optimizer = lambda: optimizers[0]
    made.manual_backward = lambda loss: loss.backward()
    return made


def weights(made: Any) -> dict[str, float]:
    return {name: float(one.detach()) for name, one in made.chain.named_parameters()}


@pytest.mark.parametrize("relaxation", ["softmax", "expected"])
def test_a_candidate_that_overfits_stops_where_it_is(relaxation: str) -> None:
    """Both move towards 2; from 2.5 that is away from 3."""
    frozen, free = (search(relaxation, epsilon=10, freeze=one) for one in (0.0, None))
    (between,) = (name for name in weights(free) if name.endswith("between.factor"))
    (below,) = (name for name in weights(free) if name.endswith("below.factor"))
    for made in (frozen, free):
        made.training_step([(TRAIN, VALID)] * (4 * STEPS), 0)
    at = weights(frozen)
    # a mixture moves with both of its candidates
    exact = relaxation == "expected"
    assert at[below] == pytest.approx(weights(free)[below], rel=0 if exact else 1e-3) != 1
    assert weights(free)[between] < at[between] < 2.5
    assert frozen.epoch_record()["frozen"] == {"one": {"below": 0, "between": 1}}
    assert "frozen" not in free.epoch_record()
    for made in (frozen, free):
        made.training_step([(TRAIN, VALID)] * STEPS, 0)
    assert weights(frozen)[between] == at[between]
    assert weights(frozen)[below] > at[below]


@pytest.mark.parametrize("relaxation", ["softmax", "expected"])
def test_a_run_with_a_threshold_of_1_learns_alpha_alone(relaxation: str, tmp_path: Path) -> None:
    words = ["problem=toy", "method=darts", f"method.relaxation={relaxation}", "method.freeze=1"]
    words += ["data.events=1000", "trainer=cpu", "logger=none", f"output={tmp_path}"]
    words += ["recipe.pretrain.epochs=1", "recipe.search.epochs=30", "recipe.posttrain.epochs=1"]
    result = run(compose_config([*words, "recipe.search.patience=30"]), console=QUIET)
    (file,) = tmp_path.rglob("history.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    epochs = [line for line in lines if line["stage"] == "search"]
    assert len(epochs) == 30
    last = epochs[-1]["frozen"]
    assert list(last) == list(result["selected"])
    assert all(one == 1 for of_task in last.values() for one in of_task.values())
    assert epochs[-1]["alpha"] != epochs[-2]["alpha"]
