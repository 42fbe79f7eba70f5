"""What each weighting adds to the parameters' gradients, against hand numbers and closed forms."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CONF
from torch import Tensor, nn
from weightings import AGGREGATED, NAMES, SETTINGS, UNWEIGHTED

from msnas.build import build
from msnas.errors import ConfigError
from msnas.weighting.check import check_weighting
from msnas.weighting.conflict import measure_conflict
from msnas.weighting.fixed import Fixed
from msnas.weighting.gradnorm import GradNorm
from msnas.weighting.jacobian_descent import graph_behind, leaves
from msnas.weighting.weighting import Weighting

FIGHT = np.array([[1.0, 0.0], [-1.0, 1.0]])
"""Two gradients at 135 degrees."""


def configured(name: str, *, tasks: int = 2, **changes: Any) -> Weighting:
    """The weighting of conf/weighting/<name>.yaml, in float64, of tasks of equal weight."""
    weighting = build(SETTINGS[name] | changes, key="weighting", of=Weighting)
    return weighting.prepare([1 / tasks] * tasks).double()


def descend(weighting: Weighting, losses: Sequence[Tensor], shared: Tensor, **more: Any) -> Tensor:
    return weighting.descend(losses, shared=shared, backward=Tensor.backward, **more)


def update(weighting: Weighting, rows: Any, **more: Any) -> tuple[Tensor, list[float]]:
    """The gradient of parameters on which task t's loss has the gradient `rows[t]`; the weights."""
    jacobian = torch.as_tensor(rows, dtype=torch.float64)
    parameters = nn.Parameter(torch.zeros(jacobian.shape[1], dtype=torch.float64))
    shared = 1.0 * parameters
    descend(weighting, list(jacobian @ shared + 1), shared, **more)
    assert parameters.grad is not None
    record = weighting.take_record([str(task) for task in range(len(jacobian))])
    return parameters.grad, list(record.get("task_weight", {}).values())


def test_the_configurations_are_those_of_the_docs() -> None:
    text = (CONF.parent / "docs" / "weighting.md").read_text()
    assert [name for name in SETTINGS if f"| `{name}` |" not in text] == []


# ------------------------------------------------------------------------------------ aggregators


def mgda_weight(first: Tensor, second: Tensor) -> float:
    """Of the first of two gradients in the point of least norm of the segment between them."""
    difference = second - first
    if not difference.any():
        return 0.0
    return float(((difference @ second) / (difference @ difference)).clamp(0, 1))


@pytest.mark.parametrize("scale", [1e-6, 1e-2, 1.0, 1e3])
@pytest.mark.parametrize("size", [1, 2, 50])
@pytest.mark.parametrize("seed", range(6))
def test_mgda_of_two_tasks_is_the_closed_form(seed: int, size: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(2, size, generator=generator, dtype=torch.float64)
    rows[1] *= scale
    weight = mgda_weight(*rows)
    expected = weight * rows[0] + (1 - weight) * rows[1]
    found, weights = update(configured("mgda"), rows)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * scale)
    assert weights == pytest.approx([weight, 1 - weight], abs=1e-9)


@pytest.mark.parametrize(
    ("rows", "weight"),
    [
        ([[1, 0], [0, 1]], 1 / 2),
        ([[3, 0], [0, 1]], 1 / 10),  # 1/9 : 1, each by the inverse square of its norm
        ([[1, 0], [2, 0]], 1),  # the shorter of two that agree
        ([[1, 0], [-3, 0]], 3 / 4),  # opposite: nothing is left
        ([[2, 1], [2, 1]], None),  # equal: any weight
    ],
)
def test_mgda_by_hand(rows: list[list[float]], weight: float | None) -> None:
    found, weights = update(configured("mgda"), rows)
    assert sum(weights) == pytest.approx(1)
    if weight is not None:
        assert weights[0] == pytest.approx(weight, abs=1e-12)
    expected = np.array(weights) @ np.array(rows)
    assert found.tolist() == pytest.approx(expected.tolist(), abs=1e-12)


ROOT = math.sqrt(2)
SILVER = 1 + ROOT
FAIR = math.sqrt(3 / (2 - ROOT))
TILT = 0.02 + 1 / ROOT
BY_HAND = {
    "mean": (0, 1 / 2),
    "constant": (0, 1 / 2),
    "sum": (0, 1),
    "mgda": (0.2, 0.4),
    "upgrad": (1 / 4, 3 / 4),  # (1, 0) becomes (1/2, 1/2), (-1, 1) becomes (0, 1)
    "cr_mogm": (1 / 4, 3 / 4),  # the first of what it averages
    "dualproj": (0, 1 / 2),
    "pcgrad": (1 / 2, 3 / 2),
    "gradvac": (1 / 2, 3 / 2),  # the usual cosine is 0 at first
    "imtl_g": (1 / (1 + 2 * SILVER), SILVER / (1 + 2 * SILVER)),
    "config": (SILVER / (1 + SILVER**2), SILVER**2 / (1 + SILVER**2)),  # along (1, 1 + sqrt 2)
    "fairgrad": (FAIR * (ROOT - 1), FAIR),  # each weight by the inverse of its task's progress
    "cagrad": (1 / 4, 1 / 2),  # half the mean's norm away from it, along (1, 0)
    "excess_mtl": (math.tanh(-1 / 2), 1 / (1 + math.exp(-1))),  # softmax of |g| = 1, 2
    "pcd": tuple(
        np.array([1 - TILT / ROOT, TILT / ROOT]) / math.hypot(1 - TILT / ROOT, TILT / ROOT)
    ),
}
DRAWN = ("random_gradients", "graddrop")
"""See test_draws_of_gradients."""
KEEPING = ("gradvac", "pcd", "excess_mtl", "nash_mtl")
"""They compare the gradients of one step with those of another."""
TOLERANCE = {"upgrad": 2e-4, "dualproj": 2e-4, "cr_mogm": 2e-4, "gradvac": 1e-7, "pcd": 1e-7}
"""Solvers add 1e-4 to the diagonal of the Gramian; others 1e-8 to a denominator."""
TOLERANCE |= {"fairgrad": 1e-6, "cagrad": 1e-3, "excess_mtl": 1e-6}


def aligned(rows: np.ndarray) -> np.ndarray:
    """Mean gradient, all singular values of the Jacobian replaced by the smallest."""
    left, values, right = np.linalg.svd(rows, full_matrices=False)
    mean: np.ndarray = (values.min() * left @ right).mean(0)
    return mean


@pytest.mark.parametrize("name", [name for name in AGGREGATED if name not in (*DRAWN, "nash_mtl")])
def test_two_tasks_that_fight(name: str) -> None:
    expected = BY_HAND.get(name)
    if name == "aligned_mtl":
        expected = tuple(aligned(FIGHT))
    assert expected is not None
    found, weights = update(configured(name), FIGHT)
    tolerance = TOLERANCE.get(name, 1e-12)
    assert found.tolist() == pytest.approx(list(expected), abs=tolerance)
    if name not in UNWEIGHTED:
        assert (np.array(weights) @ FIGHT).tolist() == pytest.approx(list(expected), abs=tolerance)


def test_draws_of_gradients() -> None:
    torch.manual_seed(0)
    drawn = [update(configured("random_gradients"), FIGHT) for _ in range(50)]
    for found, weights in drawn:
        assert sum(weights) == pytest.approx(1)
        assert found.tolist() == pytest.approx((np.array(weights) @ FIGHT).tolist())
    assert 0.05 < np.std([weights[0] for _, weights in drawn]) < 0.4
    # both want the second parameter to grow, and for the first they draw lots
    kept = [update(configured("graddrop"), FIGHT)[0].tolist() for _ in range(50)]
    assert {one[1] for one in kept} == {1.0}
    assert {one[0] for one in kept} == {-1.0, 1.0}
    assert abs(sum(one[0] for one in kept)) < 25


def test_of_three_gradients_the_one_apart_is_left_out() -> None:
    rows = [[1.0, 0.0], [1.1, 0.1], [-9.0, 5.0]]
    assert update(configured("krum", tasks=3), rows)[1] in ([1, 0, 0], [0, 1, 0])
    found, weights = update(configured("trimmed_mean", tasks=3), rows)
    assert (found.tolist(), weights) == (pytest.approx([1.0, 0.1]), [])
    for name in ("krum", "trimmed_mean"):
        with pytest.raises(ConfigError, match=r"^weighting\.aggregator: .* at least 3 rows"):
            configured(name, tasks=2)


@pytest.mark.parametrize("scale", [1e-7, 1e5])
@pytest.mark.parametrize(
    "name", [name for name in AGGREGATED if name not in (*KEEPING, *UNWEIGHTED)]
)
def test_weights_are_the_same_at_every_size_of_the_gradients(name: str, scale: float) -> None:
    torch.manual_seed(0)
    _, weights = update(configured(name), FIGHT)
    torch.manual_seed(0)
    _, scaled = update(configured(name), scale * FIGHT)
    assert scaled == pytest.approx(weights, rel=1e-9)


@pytest.mark.parametrize("name", ["upgrad", "dualproj"])
@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_no_loss_rises(name: str, tasks: int) -> None:
    generator = torch.Generator().manual_seed(tasks)
    fights = 0
    for _ in range(20):
        rows = torch.randn(tasks, 8, generator=generator, dtype=torch.float64)
        rows[1:] -= 0.7 * rows[0]
        fights += bool((rows @ rows.mean(0) < 0).any())
        found, weights = update(configured(name, tasks=tasks), rows)
        # the solver adds 1e-4 of its trace to the diagonal of the Gramian
        lowest = -1e-4 * rows.square().sum() * torch.tensor(weights)
        assert (rows @ found - lowest).min() > -1e-9
    assert fights > 3, "the mean itself would raise some loss"


def test_projection_is_equal_on_all_gradients_in_imtl_g() -> None:
    rows = torch.randn(3, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found, weights = update(configured("imtl_g", tasks=3), rows)
    projections = rows @ found / rows.norm(dim=1)
    assert (projections / projections[0]).tolist() == pytest.approx([1, 1, 1], rel=1e-9)
    assert sum(weights) == pytest.approx(1)


def test_settings_of_an_aggregator_matter() -> None:
    rows = torch.randn(3, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    kind = "torchjd.aggregation.MGDA"
    results = [
        update(
            configured("mgda", tasks=3, aggregator={"_target_": kind, "max_iters": number}), rows
        )[0]
        for number in (1, 100)
    ]
    assert results[1].norm() < 0.999 * results[0].norm()
    scaled = [
        update(
            configured(
                "aligned_mtl",
                aggregator={"_target_": "torchjd.aggregation.AlignedMTL", "scale_mode": mode},
            ),
            np.diag([2.0, 1.0]),
        )[0].tolist()
        for mode in ("min", "rmse")
    ]
    assert scaled[0] == pytest.approx([0.5, 0.5])
    assert scaled[1] == pytest.approx([math.sqrt(2.5) / 2] * 2)


# ------------------------------------------------------------------------------- chains of tasks


class Tasks(nn.Module):
    """A chain of tasks in float64: the first one's output, then each reads the one before it."""

    def __init__(self, *, count: int, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layers = nn.ModuleList(
                nn.Sequential(nn.Linear(3, 3), nn.Tanh()) for _ in range(count)
            )
            self.inputs, self.targets = torch.randn(8, 3), torch.randn(count, 8, 3)
            self.double()
            self.inputs, self.targets = self.inputs.double(), self.targets.double()

    def run(self) -> tuple[list[Tensor], Tensor]:
        """Losses, and the first task's output."""
        value, outputs = self.inputs, []
        for layer in self.layers:
            value = layer(value)
            outputs.append(value)
        losses = [
            ((output - y) ** 2).mean() for output, y in zip(outputs, self.targets, strict=True)
        ]
        return losses, outputs[0]

    def gradients(self, weighting: Weighting, **more: Any) -> list[Tensor]:
        """After one step of a weighting."""
        self.zero_grad(set_to_none=True)
        losses, shared = self.run()
        descend(weighting, losses, shared, **more)
        return self.found()

    def found(self) -> list[Tensor]:
        assert all(one.grad is not None for one in self.parameters())
        return [one.grad.clone() for one in self.parameters() if one.grad is not None]

    def jacobian(self) -> Tensor:
        """Rows: each loss's gradient in the first task's parameters, one loss at a time."""
        first = list(self.layers[0].parameters())
        rows = []
        for index in range(len(self.layers)):
            losses, _ = self.run()
            rows.append(
                torch.cat([one.flatten() for one in torch.autograd.grad(losses[index], first)])
            )
        return torch.stack(rows)


@pytest.mark.parametrize("count", [2, 3])
def test_mean_is_fixed_with_equal_weights(count: int) -> None:
    tasks = Tasks(count=count)
    equal = Fixed().prepare([1 / count] * count)
    found = tasks.gradients(configured("mean", tasks=count))
    for one, other in zip(found, tasks.gradients(equal), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["mgda", "upgrad", "imtl_g"])
def test_three_tasks(name: str) -> None:
    """The first task's parameters follow the aggregator, all later ones the mean loss."""
    worlds = (Tasks(count=3, seed=seed) for seed in range(100))
    tasks = next(one for one in worlds if (one.jacobian() @ one.jacobian().mean(0)).min() < 0)
    rows = tasks.jacobian()
    expected, weights = update(configured(name, tasks=3), rows)
    weighting = configured(name, tasks=3)
    found = tasks.gradients(weighting)
    torch.testing.assert_close(
        torch.cat([one.flatten() for one in found[:2]]), expected, rtol=1e-9, atol=1e-12
    )
    record = weighting.take_record(["a", "b", "c"])
    assert list(record["task_weight"].values()) == pytest.approx(weights, rel=1e-9)
    equal = tasks.gradients(Fixed().prepare([1 / 3] * 3))
    for one, other in zip(found[2:], equal[2:], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)
    assert not torch.allclose(found[0], equal[0], rtol=1e-2)


@pytest.mark.parametrize("name", NAMES)
def test_two_halves_of_a_step_make_the_step(name: str) -> None:
    """ASNG descends the mean of two chains: here twice the same."""
    tasks = Tasks(count=2)
    torch.manual_seed(5)
    whole = tasks.gradients(configured(name))
    tasks.zero_grad(set_to_none=True)
    for _ in range(2):
        losses, shared = tasks.run()
        torch.manual_seed(5)
        said = descend(configured(name), losses, shared, share=0.5)
        assert float(said) == pytest.approx(float(sum(losses).detach()) / 4, rel=1e-12)
    for one, other in zip(tasks.found(), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_shown_is_the_one_that_judges(name: str) -> None:
    tasks = Tasks(count=3)
    losses, shared = tasks.run()
    weighting = configured(name, tasks=3)
    said = descend(weighting, losses, shared)
    assert not said.requires_grad
    assert float(said) == pytest.approx(float(sum(losses).detach()) / 3, rel=1e-12)
    assert float(weighting.combine(losses).detach()) == pytest.approx(float(said), rel=1e-12)


def independent() -> tuple[list[Tensor], Tensor, list[nn.Parameter]]:
    """A first task whose output no other loss depends on."""
    first, second = (nn.Parameter(torch.tensor(value, dtype=torch.float64)) for value in (2.0, 3.0))
    shared = 1.0 * first
    return [shared**2, second**2], shared, [first, second]


def without_parameters() -> tuple[list[Tensor], Tensor, list[nn.Parameter]]:
    """A first task done by a dummy."""
    second = nn.Parameter(torch.tensor(3.0, dtype=torch.float64))
    shared = torch.tensor(1.0, dtype=torch.float64)
    return [shared**2, (shared * second) ** 2], shared, [second]


@pytest.mark.parametrize("world", [independent, without_parameters])
@pytest.mark.parametrize("name", AGGREGATED)
def test_where_nothing_is_shared_the_mean_is_descended_and_that_is_said_once(
    name: str,
    world: Callable[[], tuple[list[Tensor], Tensor, list[nn.Parameter]]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    weighting, found = configured(name), []
    with caplog.at_level(logging.INFO, logger="msnas"):
        for one in (weighting, weighting, Fixed().prepare([0.5, 0.5])):
            losses, shared, parameters = world()
            descend(one, losses, shared)
            found.append([value.grad for value in parameters])
    assert found[0] == found[1] == found[2]
    assert len([line for line in caplog.messages if "fewer than two tasks depend" in line]) == 1


def test_a_task_apart_does_not_stop_the_others() -> None:
    """The least norm of three gradients, one of them absent, is that of the other two."""
    first, apart = (nn.Parameter(torch.zeros(2, dtype=torch.float64)) for _ in range(2))
    shared = 1.0 * first
    rows = torch.as_tensor(FIGHT)
    weighting = configured("mgda", tasks=3)
    descend(weighting, [rows[0] @ shared, (apart + 1).sum(), rows[1] @ shared], shared)
    assert first.grad is not None
    assert first.grad.tolist() == pytest.approx([0.2 * 2 / 3, 0.4 * 2 / 3], abs=1e-12)
    assert apart.grad is not None
    assert apart.grad.tolist() == pytest.approx([1 / 3, 1 / 3])
    weights = weighting.take_record(["a", "b", "c"])["task_weight"]
    assert list(weights.values()) == pytest.approx([0.4, 1 / 3, 0.8 / 3])


def test_the_graph_behind_a_loss() -> None:
    tasks = Tasks(count=2)
    losses, shared = tasks.run()
    first, second = (set(layer.parameters()) for layer in tasks.layers)
    assert set(leaves(graph_behind(losses[1]))) == first | second
    assert set(leaves(graph_behind(losses[1], until=shared))) == second
    assert set(leaves(graph_behind(losses[0], until=shared))) == set()
    assert set(leaves(graph_behind(shared))) == first
    assert all(shared.grad_fn in graph_behind(loss, until=shared) for loss in losses)
    apart = tasks.layers[1](tasks.inputs).sum()
    assert shared.grad_fn not in graph_behind(apart, until=shared)
    assert not graph_behind(losses[0].detach(), until=shared)


# -------------------------------------------------------------------------- weights of the losses


def test_fixed_leaves_out_a_task_of_weight_0() -> None:
    found, weights = update(Fixed().prepare([0.0, 1.0]), FIGHT)
    assert found.tolist() == FIGHT[1].tolist()
    assert weights == [0.0, 1.0]


def test_uncertainty_ends_at_the_logarithm_of_the_losses() -> None:
    values = torch.tensor([0.02, 1.0, 30.0])
    weighting = configured("uncertainty", tasks=3).float()
    optimizer = torch.optim.Adam(weighting.parameters(), lr=0.05)
    for _ in range(1000):
        optimizer.zero_grad()
        descend(weighting, list(values), torch.zeros(1))
        optimizer.step()
    (found,) = weighting.parameters()
    torch.testing.assert_close(found.detach(), values.log(), rtol=0, atol=1e-3)
    weighting.take_record("abc")
    update_of = weighting.double()
    rows = torch.eye(3, dtype=torch.float64)
    gradient, weights = update(update_of, rows)
    # at the optimum each task pulls by 1 / (2 L)
    assert gradient.tolist() == pytest.approx((1 / (2 * values)).tolist(), rel=2e-3)
    assert weights == pytest.approx(gradient.tolist(), rel=1e-6)


def test_uncertainty_starts_with_equal_weights() -> None:
    assert update(configured("uncertainty"), FIGHT)[1] == [0.5, 0.5]


def test_one_step_of_gradnorm_by_hand() -> None:
    weighting = configured("gradnorm", alpha=0.0, rate=0.1)
    found, weights = update(weighting, [[1, 0], [0, 99]])
    assert weights == [1, 1]
    assert found.tolist() == [1, 99]
    # mean norm 50: the first is too weak, the second too strong
    moved = np.exp([0.1 * 1 / 50, -0.1 * 99 / 50])
    _, weights = update(weighting, [[1, 0], [0, 99]])
    assert weights == pytest.approx((2 * moved / moved.sum()).tolist(), rel=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 1.5])
def test_gradnorm_brings_norms_of_1_to_100_together(alpha: float) -> None:
    weighting = configured("gradnorm", alpha=alpha)
    rows = np.diag([1.0, 100.0])
    found, _ = update(weighting, rows)
    assert float(found[1] / found[0]) == pytest.approx(100)
    for _ in range(400):
        found, weights = update(weighting, rows)
    # the losses here stay as they are: both tasks learn equally fast
    assert float(found[1] / found[0]) == pytest.approx(1, abs=0.06)
    assert sum(weights) == pytest.approx(2)


def gradnorm_step(weighting: GradNorm, losses: list[float]) -> list[float]:
    """One step on losses of given values whose gradients have norm 1."""
    parameters = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    shared = 1.0 * parameters
    descend(weighting, [one + value for one, value in zip(shared, losses, strict=True)], shared)
    return weighting.task_weights.tolist()


def test_gradnorm_lets_the_slow_task_pull_harder() -> None:
    # relative to the first losses 0.8 and 0.2, over their mean 1.6 and 0.4: the slow one ends at
    # its goal 1.6^alpha times the mean norm 1
    for alpha, first in ((0.0, 1.0), (0.5, math.sqrt(1.6)), (1.0, 1.6)):
        weighting = GradNorm(alpha=alpha, rate=0.005).prepare([0.5, 0.5]).double()
        gradnorm_step(weighting, [1.0, 10.0])
        for _ in range(600):
            weights = gradnorm_step(weighting, [0.8, 2.0])
        assert weights == pytest.approx([first, 2 - first], abs=0.02)


def test_gradnorm_keeps_the_weight_of_a_task_apart() -> None:
    weighting = configured("gradnorm", tasks=3)
    assert isinstance(weighting, GradNorm)
    first, apart = (nn.Parameter(torch.ones(2, dtype=torch.float64)) for _ in range(2))
    for _ in range(3):
        shared = 1.0 * first
        descend(weighting, [shared.sum(), 50 * shared[0], apart.sum()], shared)
    weights = weighting.task_weights.tolist()
    assert weights[2] == 1
    assert sum(weights) == pytest.approx(3)
    assert weights[1] < 1 < weights[0]


def test_random_weights_come_from_the_seed() -> None:
    def draws(seed: int) -> list[float]:
        torch.manual_seed(seed)
        weighting = configured("random")
        return [update(weighting, np.eye(2))[1][0] for _ in range(400)]

    first = draws(0)
    assert first == draws(0)
    assert first != draws(1)
    assert len(set(first)) == 400
    assert np.mean(first) == pytest.approx(0.5, abs=0.04)
    # the first of two softmaxed normal numbers: a logistic of N(0, 2)
    normal = np.random.default_rng(0).normal(0, math.sqrt(2), 100_000)
    assert np.std(first) == pytest.approx(np.std(1 / (1 + np.exp(-normal))), abs=0.03)


def test_random_weights_are_the_gradient() -> None:
    torch.manual_seed(0)
    found, weights = update(configured("random"), np.eye(2))
    assert found.tolist() == pytest.approx(weights)
    assert sum(weights) == pytest.approx(1)


# ----------------------------------------------------------------------------- where tasks fight


def test_norms_and_cosines_by_hand() -> None:
    parameters = nn.Parameter(torch.tensor([1.0, 1.0]))
    shared = 2.0 * parameters
    losses = [
        3 * shared[0],
        4 * (shared[1] - shared[0]),
        torch.tensor(1.0),
        (5 * parameters).sum(),
        0 * shared.sum(),
    ]
    names = ["a", "b", "c", "d", "e"]
    found = measure_conflict(losses, shared).by_name(names)
    assert found["gradient_norm"] == pytest.approx(
        {"a": 3, "b": 4 * math.sqrt(2), "c": 0, "d": 0, "e": 0}
    )
    assert found["gradient_cosine"] == pytest.approx({"a,b": -1 / math.sqrt(2)})
    assert parameters.grad is None
    losses[1].backward()  # the graph is still there
    assert parameters.grad is not None


def test_cosine_of_tiny_gradients() -> None:
    shared = 1.0 * nn.Parameter(torch.zeros(2))
    found = measure_conflict([1e-25 * shared[0], 1e-25 * shared.sum()], shared)
    assert found.cosines[0, 1] == pytest.approx(1 / math.sqrt(2), rel=1e-5)


def test_what_is_not_finite_is_left_out() -> None:
    shared = 1.0 * nn.Parameter(torch.zeros(2))
    found = measure_conflict([math.inf * shared[0], shared[1]], shared).by_name(["a", "b"])
    assert found == {"gradient_norm": {"b": 1.0}, "gradient_cosine": {}}


def test_an_epoch_is_measured_on_its_first_batch() -> None:
    weighting = Fixed().prepare([0.5, 0.5])
    norms = []
    for _ in range(2):
        for scale in (1.0, 7.0):
            shared = 1.0 * nn.Parameter(torch.zeros(2))
            descend(weighting, list(scale * (1 + len(norms)) * shared), shared)
        record = weighting.take_record(["a", "b"])
        norms.append(record["gradient_norm"]["a"])
        assert record["task_weight"] == {"a": 0.5, "b": 0.5}
    assert norms == [1.0, 2.0]
    assert weighting.take_record(["a", "b"]) == {}


def test_a_single_task_has_no_record() -> None:
    weighting = Fixed().prepare([1.0])
    shared = 1.0 * nn.Parameter(torch.zeros(1))
    descend(weighting, [shared.sum()], shared)
    assert weighting.take_record(["a"]) == {}


# ------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"alpha": -0.1}, r"^weighting\.alpha: expected a number >= 0, found -0\.1"),
        ({"alpha": "much"}, r"^weighting\.alpha: expected a finite number, found 'much'"),
        ({"rate": 0}, r"^weighting\.rate: expected a number > 0, found 0"),
        ({"rate": math.nan}, r"^weighting\.rate: expected a finite number, found nan"),
        ({"rate": True}, r"^weighting\.rate: expected a finite number, found True"),
    ],
)
def test_bad_settings_of_gradnorm(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        configured("gradnorm", **changes)


@pytest.mark.parametrize(
    ("aggregator", "said"),
    [
        (
            {"_target_": "torch.nn.Identity"},
            r"^weighting\.aggregator\._target_: .* is no torchjd\.",
        ),
        (None, r"^weighting\.aggregator: expected a mapping with _target_, found None"),
        (
            {"_target_": "torchjd.scalarization.UW"},
            r"'torchjd\.scalarization\.UW' is no torchjd\.agg",
        ),
        (
            {"_target_": "torchjd.aggregation.Krum", "n_byzantine": 1},
            r"^weighting\.aggregator: .*at least 4 rows",
        ),
        ({"_target_": "torchjd.aggregation.MGDA", "epsilon": 0}, r"epsilon must be positive"),
    ],
)
def test_bad_aggregators(aggregator: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        configured("mgda", aggregator=aggregator)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "fixed"])
def test_one_task_has_nothing_to_weigh(name: str) -> None:
    with pytest.raises(ConfigError, match=r"found one task with a loss; use weighting=fixed$"):
        configured(name, tasks=1)


ALLOWED = {"given": False, "drawn": False, "last_task_only": None, "precision": "32-true"}


@pytest.mark.parametrize(
    ("name", "setting", "said"),
    [
        ("mgda", {"given": True}, r"^task_weight, task_weights: JacobianDescent finds its own"),
        ("random", {"drawn": True}, r"^conditioning\.parameters: .*use weighting=fixed"),
        ("uncertainty", {"last_task_only": "end_to_end"}, r"^weighting: .*method=end_to_end"),
        ("mgda", {"precision": "16-mixed"}, r"^trainer\.precision: JacobianDescent .*bf16-mixed"),
        ("gradnorm", {"precision": "16-mixed"}, r"^trainer\.precision: GradNorm"),
    ],
)
def test_settings_that_contradict_a_weighting(
    name: str, setting: dict[str, Any], said: str
) -> None:
    check_weighting(configured(name), **ALLOWED)
    check_weighting(configured("fixed"), **{**ALLOWED, **setting})
    with pytest.raises(ConfigError, match=said):
        check_weighting(configured(name), **{**ALLOWED, **setting})


@pytest.mark.parametrize("name", ["random", "uncertainty"])
def test_weights_of_losses_go_with_any_precision(name: str) -> None:
    check_weighting(configured(name), **{**ALLOWED, "precision": "16-mixed"})
