"""The toy's events follow its formulas, and its best chain is the best by closed-form losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from msnas.build import build
from msnas.candidates.toy import ToyCautious
from msnas.problems.toy import HALF_WIDTH, Toy
from msnas.problems.toy3 import Toy3

CONF = Path(__file__).parents[1] / "conf" / "candidate"
REGRESSION = ["curve", "plane", "line"]
CLASSIFICATION = ["trigger", "logistic", "cautious"]
FIELDS = ("x", "z", "label")
EVENTS = 200_000


def candidate(task: str, name: str) -> nn.Module:
    module = build(OmegaConf.load(CONF / task / f"{name}.yaml"), key=name, of=nn.Module)
    return module


def sigmoid(logit: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-logit)))


def cross_entropy(truth: np.ndarray, logit: np.ndarray) -> np.ndarray:
    """Binary cross entropy of a logit; `truth` is a label or a probability."""
    return np.asarray(np.logaddexp(0, logit) - truth * logit)


def entropy(probability: np.ndarray | float) -> float:
    p = np.asarray(probability)
    return float(-(p * np.log(p) + (1 - p) * np.log(1 - p)).mean())


def fit_logistic(features: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights (the bias last) and loss of logistic regression, by Newton's method."""
    design = np.column_stack([features, np.ones(len(features))])
    weights = np.zeros(design.shape[1])
    for _ in range(12):
        probability = sigmoid(design @ weights)
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design
        weights += np.linalg.solve(curvature, design.T @ (label - probability))
    return weights, float(cross_entropy(label, design @ weights).mean())


@pytest.fixture(scope="module")
def toy() -> Toy:
    return Toy(events=EVENTS, seed=0)


@pytest.fixture(scope="module")
def events(toy: Toy) -> dict[str, np.ndarray]:
    return {name: values.astype(np.float64) for name, values in toy.load(FIELDS).items()}


@pytest.fixture(scope="module")
def log_odds(toy: Toy) -> np.ndarray:
    """The label's log-odds on a grid of the midpoints of equal cells, [u, w]."""
    cells = 400
    middle = HALF_WIDTH * ((2 * np.arange(cells) + 1) / cells - 1)
    return toy.label_u * middle[:, None] + toy.label_w * middle[None, :]


def floor(toy: Toy) -> float:
    return float(toy.noise**2 + (toy.side * toy.blur) ** 2 + toy.echo**2 / 2)


SIDES = {"x": ("float32", (50, 2)), "z": ("float32", (50, 3)), "label": ("uint8", (50,))}


@pytest.mark.parametrize(
    ("kind", "fields"), [(Toy, SIDES), (Toy3, {**SIDES, "w": ("float32", (50, 3))})]
)
def test_same_seed_same_events_another_seed_others(
    kind: type[Toy | Toy3], fields: dict[str, Any]
) -> None:
    first, again, other = (kind(events=50, seed=seed).load(list(fields)) for seed in (3, 3, 4))
    assert {one: (str(values.dtype), values.shape) for one, values in first.items()} == fields
    for name, values in first.items():
        assert np.array_equal(values, again[name])
        assert not np.array_equal(values, other[name])


ARGUMENTS = {
    Toy: "bend noise side blur echo flip label_u label_w",
    Toy3: "bend noise side blur_z blur_w echo flip label_u label_s",
}


@pytest.mark.parametrize("kind", ARGUMENTS)
def test_every_argument_changes_events_and_identity(kind: type[Toy | Toy3]) -> None:
    default = kind(events=500, seed=0)
    fields = FIELDS if kind is Toy else (*FIELDS, "w")
    before = default.load(fields)
    arguments = ARGUMENTS[kind].split()
    assert {*arguments, "events", "seed"} == set(kind.__init__.__annotations__) - {"return"}
    assert default.identity().keys() == {*arguments, "events", "seed", "class"}
    assert default.identity()["class"] == kind.__name__
    for argument in arguments:
        changed = kind(events=500, seed=0, **{argument: 0.37})
        after = changed.load(fields)
        assert any(not np.array_equal(before[name], after[name]) for name in before), argument
        assert changed.identity() == {**default.identity(), argument: 0.37}


def test_labels_are_balanced(events: dict[str, np.ndarray]) -> None:
    assert events["label"].mean() == pytest.approx(0.5, abs=0.005)


def test_task_1_losses(toy: Toy, events: dict[str, np.ndarray]) -> None:
    """The closed-form losses hold, and least squares finds nothing better in the linear ones."""
    (u, w), z = events["x"].T, events["z"]
    zero = np.zeros_like(u)
    bent = u + toy.bend * 2**0.5 * np.cos(np.pi * u / HALF_WIDTH)

    def loss(prediction: np.ndarray) -> float:
        return float(((prediction - z) ** 2).sum(1).mean())

    def least_squares(*features: np.ndarray) -> float:
        design = np.column_stack([*features, np.ones_like(u)])
        return loss(design @ np.linalg.lstsq(design, z, rcond=None)[0])

    curve = loss(np.column_stack([bent, zero, zero]))
    plane = loss(np.column_stack([u, toy.side * w, zero]))
    line = loss(np.outer((u + w) / 2, [1, toy.side, 0]))
    assert curve == pytest.approx(floor(toy) + toy.side**2, abs=0.005)
    assert plane == pytest.approx(floor(toy) + toy.bend**2, abs=0.005)
    assert line == pytest.approx(floor(toy) + toy.bend**2 + (1 + toy.side**2) / 2, abs=0.01)
    assert least_squares(u, w) == pytest.approx(plane, abs=0.001)
    assert least_squares(u + w) == pytest.approx(line, abs=0.001)
    # no function of x predicts z3, so no network comes near the trigger's threshold
    assert np.abs([z[half, 2].mean() for half in (u > 0, w > 0, u < 0, w < 0)]).max() < 0.01


def test_task_2_prefers_the_trigger_on_the_truth(
    toy: Toy, events: dict[str, np.ndarray], log_odds: np.ndarray
) -> None:
    z, label = events["z"], events["label"]
    told = np.abs(z[:, 2]) > toy.echo / 2
    assert (told != label).mean() == pytest.approx(toy.flip, abs=0.002)
    trigger = fit_logistic(told[:, None], label)[1]
    assert trigger == pytest.approx(entropy(toy.flip), abs=0.005)
    logistic = fit_logistic(z, label)[1]
    assert logistic > trigger + 0.2
    # the blur costs it what a chain with `plane` gives back
    assert logistic > entropy(sigmoid(log_odds)) + 0.2


def test_logistic_after_plane_is_as_good_as_any_function_of_x(
    toy: Toy, events: dict[str, np.ndarray], log_odds: np.ndarray
) -> None:
    u, w = events["x"].T
    weights, loss = fit_logistic(np.column_stack([u, toy.side * w]), events["label"])
    assert weights == pytest.approx([toy.label_u, toy.label_w / toy.side, 0], rel=0.03, abs=0.03)
    assert loss == pytest.approx(entropy(sigmoid(log_odds)), abs=0.003)


def lower_bounds(toy: Toy, log_odds: np.ndarray, weight: float) -> dict[tuple[str, str], float]:
    """Least loss of a chain with task 1 weighted by `weight`: reached by (plane, logistic).

    After `curve` every classifier is a function of u, after `line` one of u + w. What limits the
    logit limits it best where it follows the true log-odds up to the limit. After any task-1
    candidate `trigger` sees nothing.
    """
    probability = sigmoid(log_odds)
    limit = float(OmegaConf.load(CONF / "toy_classification" / "cautious.yaml").limit)
    of_sum = [np.diagonal(probability[:, ::-1], k).mean() for k in range(-399, 400)]
    cells = [400 - abs(k) for k in range(-399, 400)]
    entropies = [entropy(p) for p in of_sum]
    first = {
        "curve": floor(toy) + toy.side**2,
        "plane": floor(toy) + toy.bend**2,
        "line": floor(toy) + toy.bend**2 + (1 + toy.side**2) / 2,
    }
    second = {
        "curve": entropy(probability.mean(1)),
        "plane": entropy(probability),
        "line": float(np.average(entropies, weights=cells)),
    }
    cautious = float(cross_entropy(probability, np.clip(log_odds, -limit, limit)).mean())
    least = {"trigger": np.log(2), "logistic": 0.0, "cautious": cautious}
    return {
        (a, b): weight * first[a] + (1 - weight) * max(second[a], least[b])
        for a in REGRESSION
        for b in CLASSIFICATION
    }


def test_the_best_chain_is_plane_and_logistic(toy: Toy, log_odds: np.ndarray) -> None:
    bounds = lower_bounds(toy, log_odds, 0.5)
    order = sorted(bounds, key=lambda chain: bounds[chain])
    assert order[:2] == [("plane", "logistic"), ("plane", "cautious")]
    assert 1 - bounds[order[0]] / bounds[order[1]] == pytest.approx(0.12, abs=0.02)


def test_a_large_task_weight_turns_to_curve(toy: Toy, log_odds: np.ndarray) -> None:
    for weight, expected in ((0.1, "plane"), (0.75, "plane"), (0.85, "curve"), (0.99, "curve")):
        bounds = lower_bounds(toy, log_odds, weight)
        assert min(bounds, key=lambda chain: bounds[chain])[0] == expected


def test_what_a_candidate_cannot_see_does_not_matter() -> None:
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    curve, line = candidate("toy_regression", "curve"), candidate("toy_regression", "line")
    assert torch.equal(curve({"x": x}), curve({"x": x * torch.tensor([1.0, -3.0])}))
    swapped = line({"x": x.flip(1)})
    assert torch.equal(line({"x": x}), swapped)
    moved = x + torch.tensor([1.0, 0.0])
    assert not torch.allclose(curve({"x": x}), curve({"x": moved}))
    assert not torch.allclose(line({"x": x}), line({"x": moved}))


def gradient_of_z(name: str, z: Tensor) -> Tensor:
    z = z.clone().requires_grad_()
    candidate("toy_classification", name)({"z": z}).sum().backward()
    assert z.grad is not None
    return z.grad


def test_trigger_is_blind_below_its_threshold(toy: Toy) -> None:
    trigger = candidate("toy_classification", "trigger")
    assert trigger.threshold == toy.echo / 2
    below = torch.tensor([[2.0, 1.0, 0.0], [-2.0, 0.5, 0.2], [0.0, 0.0, -0.2]])
    assert trigger({"z": below}).unique().numel() == 1
    assert gradient_of_z("trigger", below).abs().max() == 0
    assert gradient_of_z("logistic", below).abs().min() > 0
    told = torch.tensor([[0.0, 0.0, toy.echo], [0.0, 0.0, -toy.echo]])
    assert trigger({"z": told}).unique().numel() == 1
    assert trigger({"z": told})[0] != trigger({"z": below})[0]


def test_cautious_is_limited_but_keeps_the_order() -> None:
    z = torch.linspace(-3, 3, 50)[:, None] * torch.ones(3)
    bounded = ToyCautious(input_size=3, limit=1.5)
    nn.init.ones_(bounded.linear.weight)
    unbounded = ToyCautious(input_size=3, limit=1e4)
    unbounded.load_state_dict(bounded.state_dict())
    linear = bounded.linear(z).squeeze(1)
    torch.testing.assert_close(unbounded({"z": z}), linear)
    assert torch.equal(bounded({"z": z}).argsort(), linear.argsort())
    assert bounded({"z": 1e4 * z}).abs().max() == 1.5


@pytest.mark.parametrize(
    ("task", "names", "inputs", "shape"),
    [
        ("toy_regression", REGRESSION, {"x": torch.zeros(7, 2)}, (7, 3)),
        ("toy_classification", CLASSIFICATION, {"z": torch.zeros(7, 3)}, (7,)),
    ],
)
def test_candidates_from_their_files(
    task: str, names: list[str], inputs: dict[str, Tensor], shape: tuple[int, ...]
) -> None:
    for name in names:
        assert candidate(task, name)(inputs).shape == shape
