"""Losses against hand numbers, their gradients, and the traps of momenta and task weights."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from made_chain import events, two_tasks
from torch import Tensor

from msnas.chain.output import TauMomentum as TauMomentumOutput
from msnas.errors import ConfigError
from msnas.evaluation.mean_loss import MeanLoss
from msnas.losses.affinity import Affinity
from msnas.losses.class_balanced import ClassBalanced
from msnas.losses.cross_entropy import BinaryCrossEntropy, CrossEntropy
from msnas.losses.focal import Focal
from msnas.losses.inverse_class_frequency import InverseClassFrequency
from msnas.losses.loss import Loss
from msnas.losses.momentum import MomentumError
from msnas.losses.squared_error import SquaredError
from msnas.momentum import cartesian, decode_pt, encode_pt, wrap_angle
from msnas.weighting.fixed import Fixed

SHAPES: dict[str, tuple[int, ...]] = {"logit": (), "two": (2,), "four": (4,), "pairs": (2, 3)}
"""Of an output per event: a logit, logits of 2 or 4 classes, two objects of 3 classes each."""


def balanced(one_minus_beta: float, normalisation: str = "sum_to_classes") -> ClassBalanced:
    return ClassBalanced(one_minus_beta=one_minus_beta, normalisation=normalisation)


MAKERS: dict[str, Callable[[], Loss]] = {
    "inverse_class_frequency": lambda: InverseClassFrequency(normalisation="sum_to_classes"),
    "class_balanced": lambda: balanced(0.05),
    "class_balanced_mean_one": lambda: balanced(0.05, "mean_one"),
    "focal": lambda: Focal(gamma=2.0, alpha=None),
    "focal_root": lambda: Focal(gamma=0.5, alpha=None),
    "affinity": lambda: Affinity(sigma=10.0, margin=0.75, centres=1),
    "affinity_centres": lambda: Affinity(sigma=4.0, margin=0.5, centres=3),
}


def ready(loss: Loss, shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Loss:
    """Prepared, fitted to classes that grow rarer, in double precision."""
    loss.prepare(shape)
    classes = shape[-1] if shape else 2
    loss.fit(torch.arange(classes).repeat_interleave(torch.tensor([40, 10, 5, 2])[:classes]))
    return loss.to(dtype)


def batch(shape: tuple[int, ...], events: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    output = 2 * torch.randn(events, *shape, generator=generator, dtype=torch.float64)
    classes = shape[-1] if shape else 2
    target = torch.arange(events * math.prod(shape[:-1])).reshape(events, *shape[:-1]) % classes
    return output, target


REGRESSIONS: dict[str, Callable[[], Loss]] = {
    "momentum_event_sum": lambda: MomentumError(reduction="event_sum"),
    "momentum_component_mean": lambda: MomentumError(reduction="component_mean"),
    "squared_error": SquaredError,
}
"""On two taus per event."""

Case = tuple[Loss, Tensor, Tensor]


def case(name: str, of_shape: str) -> Case:
    """A loss that is ready, six outputs and their truths."""
    if of_shape != "taus":
        shape = SHAPES[of_shape]
        if name == "plain":
            return (CrossEntropy() if shape else BinaryCrossEntropy()), *batch(shape)
        return ready(MAKERS[name](), shape), *batch(shape)
    generator = torch.Generator().manual_seed(0)
    pair = torch.randn(2, 6, 2, 3, generator=generator, dtype=torch.float64)
    output, target = pair * torch.tensor([1.0, 1.0, 1.5]) + torch.tensor([3.5, 0.0, 0.0])
    return REGRESSIONS[name](), output, target


def plain(output: Tensor, target: Tensor) -> Tensor:
    loss = BinaryCrossEntropy() if output.shape == target.shape else CrossEntropy()
    return loss(output, target)


def encoded(*taus: tuple[float, float, float]) -> Tensor:
    """One event of (pT [GeV], eta, phi) as the networks see it, in double precision."""
    values = [[math.log(0.1 + pt), eta, phi] for pt, eta, phi in taus]
    return torch.tensor([values], dtype=torch.float64)


TRUTH = encoded((100.0, 0.0, 0.0), (50.0, 0.0, math.pi / 2))
HAND = [
    # px off by 20 GeV: (20/100)^2
    (encoded((80.0, 0.0, 0.0), (50.0, 0.0, math.pi / 2)), 0.04),
    # the second opposite: py off by 100 GeV
    (encoded((100.0, 0.0, 0.0), (50.0, 0.0, -math.pi / 2)), 1.0),
    # both wrong: 20 GeV in px, and a quarter turn of 50 GeV, which is 50 GeV in px and in py
    (encoded((80.0, 0.0, 0.0), (50.0, 0.0, 0.0)), 0.04 + 0.25 + 0.25),
    # eta 1 of 100 GeV: pz = 100 sinh(1) GeV
    (encoded((100.0, 1.0, 0.0), (50.0, 0.0, math.pi / 2)), 1.1752011936438014**2),
]


EVERY_SHAPE = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
ALL = [(name, shape) for name in ("plain", *MAKERS) for shape in SHAPES]
EVERY_LOSS = pytest.mark.parametrize(
    ("name", "of_shape"), [*ALL, *((name, "taus") for name in REGRESSIONS)]
)

# ------------------------------------------------------------------ what every loss keeps to


@EVERY_LOSS
def test_one_value_per_event_whatever_the_others(name: str, of_shape: str) -> None:
    loss, output, target = case(name, of_shape)
    values = loss(output, target)
    assert values.shape == (6,)
    assert (values > 0).any()
    for event in range(6):
        one = slice(event, event + 1)
        torch.testing.assert_close(loss(output[one], target[one]), values[one])
    if of_shape == "taus":
        assert torch.equal(loss(target, target), torch.zeros(6, dtype=target.dtype))
    else:
        assert loss.float()(output.float(), target).dtype == torch.float32


@EVERY_LOSS
def test_gradients_against_differences(name: str, of_shape: str) -> None:
    loss, output, target = case(name, of_shape)

    def of_all(logits: Tensor, *_: Tensor) -> Tensor:
        return torch.cat((loss(logits, target), loss.score(logits).flatten()))

    assert torch.autograd.gradcheck(of_all, (output.requires_grad_(), *loss.parameters()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "of_shape"), ALL)
def test_loss_and_gradient_stay_finite(name: str, of_shape: str, dtype: torch.dtype) -> None:
    loss, shape = case(name, of_shape)[0].to(dtype), SHAPES[of_shape]
    extremes = torch.tensor([-1e4, -200.0, -17.5, -1e-6, 0.0, 1e-6, 17.5, 200.0, 1e4])
    sizes = torch.cartesian_prod(extremes, extremes).to(dtype)
    base = torch.zeros(len(sizes), *shape, dtype=dtype)
    if shape:
        base[..., :2] = sizes.reshape(-1, *[1] * (len(shape) - 1), 2)
    else:
        base += sizes[:, 0]
    for true in range(shape[-1] if shape else 2):
        output = base.clone().requires_grad_()
        values = loss(output, torch.full((len(base), *shape[:-1]), true))
        values.sum().backward()
        assert torch.isfinite(values).all()
        assert (values >= 0).all()
        assert output.grad is not None
        assert torch.isfinite(output.grad).all()
        assert torch.isfinite(loss.score(output)).all()


@pytest.mark.parametrize("reduction", ["event_sum", "component_mean"])
def test_momentum_loss_and_gradient_stay_finite(reduction: str) -> None:
    extremes = torch.cartesian_prod(
        torch.tensor([-100.0, 0.0, 100.0]),
        torch.tensor([-50.0, 0.5, 50.0]),
        torch.tensor([-1e3, 0.0, 1e3]),
    )
    output = extremes.unsqueeze(1).repeat(1, 2, 1).requires_grad_()
    loss = MomentumError(reduction=reduction)(output, TRUTH.float().expand(len(output), 2, 3))
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert output.grad is not None
    assert torch.isfinite(output.grad).all()


# ------------------------------------------------------------------ momenta


@pytest.mark.parametrize(("output", "expected"), HAND)
def test_momentum_loss_in_squares_of_100_gev(output: Tensor, expected: float) -> None:
    by_event = MomentumError(reduction="event_sum")(output, TRUTH)
    assert by_event.tolist() == pytest.approx([expected], rel=1e-6)
    by_component = MomentumError(reduction="component_mean")(output, TRUTH)
    assert (by_event / by_component).tolist() == pytest.approx([6.0])


def test_momentum_loss_takes_the_papers_formula_by_default() -> None:
    output = HAND[2][0]
    by_event = MomentumError(reduction="event_sum")
    assert torch.equal(MomentumError()(output, TRUTH), by_event(output, TRUTH))


def test_momentum_loss_does_not_care_about_full_turns() -> None:
    turned = TRUTH + torch.tensor([0.0, 0.0, 2 * math.pi], dtype=torch.float64)
    assert float(MomentumError()(turned, TRUTH)) < 1e-20


def test_momentum_metric_is_the_papers_loss_over_unequal_batches() -> None:
    outputs = torch.cat([output for output, _ in HAND])
    targets = TRUTH.expand(len(HAND), -1, -1)
    metric = MeanLoss(loss=MomentumError())
    metric.update(outputs[:1], targets[:1])
    metric.update(outputs[1:], targets[1:])
    expected = sum(value for _, value in HAND) / len(HAND)
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-6)
    assert metric.higher_is_better is False


def test_momentum_loss_refuses_another_reduction() -> None:
    with pytest.raises(ConfigError, match=r"loss\.reduction: expected .*, found 'mean'"):
        MomentumError(reduction="mean")


@pytest.mark.parametrize("logit", [-1e4, -30.0, -1.5, 0.0, 0.3, 2.0, 30.0, 1e4])
@pytest.mark.parametrize("truth", [0, 1])
def test_binary_cross_entropy_formula(logit: float, truth: int) -> None:
    found = BinaryCrossEntropy()(torch.tensor([logit]), torch.tensor([truth]))
    expected = max(logit, 0) - logit * truth + math.log1p(math.exp(-abs(logit)))
    assert found.tolist() == pytest.approx([expected], rel=1e-6, abs=1e-12)


def test_binary_cross_entropy_hand_numbers() -> None:
    found = BinaryCrossEntropy()(torch.tensor([0.0, 0.0, math.log(3)]), torch.tensor([0, 1, 1]))
    assert found.tolist() == pytest.approx([math.log(2), math.log(2), math.log(4 / 3)], rel=1e-6)


def test_squared_error_sums_over_components() -> None:
    output = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]])
    target = torch.tensor([[[0.0, 2.0], [5.0, 1.0]], [[0.5, 0.0], [0.0, 0.0]]])
    assert SquaredError()(output, target).tolist() == [1.0 + 4.0 + 9.0, 0.25]


@pytest.mark.parametrize("logit", [-1e4, 1e4])
@pytest.mark.parametrize("truth", [0, 1])
def test_binary_cross_entropy_gradient_is_probability_minus_truth(logit: float, truth: int) -> None:
    output = torch.tensor([logit]).requires_grad_()
    BinaryCrossEntropy()(output, torch.tensor([truth])).sum().backward()
    assert output.grad is not None
    assert output.grad.tolist() == [float(logit > 0) - truth]


def test_pt_is_encoded_with_an_offset_of_a_tenth() -> None:
    pt = torch.tensor([0.0, 0.9, 20.0, 99.9], dtype=torch.float64)
    expected = [math.log(0.1), 0.0, math.log(20.1), math.log(100)]
    assert encode_pt(pt).tolist() == pytest.approx(expected)
    torch.testing.assert_close(decode_pt(encode_pt(pt)), pt)


@pytest.mark.parametrize("log_pt", [-1e30, -100.0, -7.0, -2.4, math.log(0.1)])
def test_the_clamp_never_turns_a_momentum_round(log_pt: float) -> None:
    """A lower clamp at -7 would leave pT = -0.099 GeV, in the opposite direction."""
    momentum = cartesian(torch.tensor([log_pt, 1.0, 0.3]))
    expected = max(math.exp(max(log_pt, -50)), 0.1) - 0.1
    # one unit in the last place of 0.1
    assert float(decode_pt(torch.tensor(log_pt))) == pytest.approx(expected, abs=1.5e-8)
    assert (momentum >= -3e-8).all()


def test_the_clamp_keeps_the_loss_of_a_hard_tau() -> None:
    hard = encoded((1000.0, 0.0, 0.0), (50.0, 0.0, math.pi / 2))
    assert float(MomentumError()(hard, TRUTH)) == pytest.approx(81.0, rel=1e-6)


@pytest.mark.parametrize("phi", [-12.0, -math.pi, -3.0, 0.0, 1.0, 3.0, math.pi, 7.5, 100.0])
def test_wrapped_angle_is_the_same_direction_within_pi(phi: float) -> None:
    wrapped = wrap_angle(torch.tensor(phi, dtype=torch.float64)).item()
    assert -math.pi <= wrapped <= math.pi
    assert math.cos(wrapped) == pytest.approx(math.cos(phi), abs=1e-12)
    assert math.sin(wrapped) == pytest.approx(math.sin(phi), abs=1e-12)


def test_wrapping_comes_after_mixing() -> None:
    """Two candidates correct a jet at phi = 3.1 by +0.1 and -0.06: wrapped first, they cancel."""
    output = TauMomentumOutput(shape=[2, 3])
    raw = [torch.tensor([[[3.0, 0.5, 3.1 + step]] * 2]) for step in (0.1, -0.06)]
    mixed = output.finish((raw[0] + raw[1]) / 2)
    expected = torch.tensor([[[3.0, 0.5, 3.12]] * 2])
    torch.testing.assert_close(mixed, expected)
    wrapped_first = (output.finish(raw[0]) + output.finish(raw[1])) / 2
    assert abs(float(wrapped_first[0, 0, 2]) - 3.12) > 3


def test_finish_brings_an_angle_beyond_pi_to_the_other_side() -> None:
    output = TauMomentumOutput(shape=[2, 3])
    beyond = torch.tensor([[[3.0, 0.5, math.pi + 0.1], [2.0, -4.0, -math.pi - 0.1]]])
    expected = torch.tensor([[[3.0, 0.5, -math.pi + 0.1], [2.0, -4.0, math.pi - 0.1]]])
    torch.testing.assert_close(output.finish(beyond), expected)
    torch.testing.assert_close(output.finish(expected), expected)


def test_momentum_prediction_is_in_gev() -> None:
    prediction = TauMomentumOutput(shape=[2, 3]).prediction(TRUTH)
    expected = torch.tensor([[[100.0, 0.0, 0.0], [50.0, 0.0, math.pi / 2]]], dtype=torch.float64)
    torch.testing.assert_close(prediction, expected)


@pytest.mark.parametrize("first_weight", [0.0, 0.3, 1.0])
def test_a_task_of_weight_0_gives_no_gradient_of_its_own(first_weight: float) -> None:
    chain, some = two_tasks(1, 1), events(0)
    losses = chain.losses(chain.run(some, ("a", "a")), some)
    total = Fixed().prepare([first_weight, 1 - first_weight]).combine(losses)
    expected = first_weight * losses[0] + (1 - first_weight) * losses[1]
    torch.testing.assert_close(total, expected)
    parameters = list(chain.parameters())
    names = [name for name, _ in chain.named_parameters()]
    found = torch.autograd.grad(total, parameters, allow_unused=True, retain_graph=True)
    own = [
        torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
        for loss in losses
    ]
    for name, gradient, of_first, of_second in zip(names, found, *own, strict=True):
        if name.startswith("candidates.classify.") and first_weight == 1:
            assert gradient is None
            continue
        terms = [
            weight * (one if one is not None else torch.zeros_like(of_second))
            for weight, one in ((first_weight, of_first), (1 - first_weight, of_second))
        ]
        torch.testing.assert_close(gradient, terms[0] + terms[1])


def test_an_infinite_loss_of_weight_0_does_not_spoil_the_other() -> None:
    loss = Fixed().prepare([0.0, 1.0]).combine([torch.tensor(math.inf), torch.tensor(2.0)])
    assert float(loss) == 2.0


@pytest.mark.parametrize("weights", [[], [0.5, 0.6], [-0.5, 1.5], [0.0, 0.0]])
def test_fixed_weights_must_be_a_share(weights: list[float]) -> None:
    with pytest.raises(ConfigError, match="non-negative with sum 1"):
        Fixed().prepare(weights)


def test_event_weights_scale_the_mean_and_may_be_negative() -> None:
    chain, some = two_tasks(1, 1), events(0, 8)
    task = chain.tasks[1]
    output = chain.run_on_truth(some, 1, "a")
    losses = task.loss(output, some["label"]).detach()
    weight = torch.tensor([2.0, -1.0, 0.0, 1.0, 1.0, 1.0, 3.0, 1.0])
    expected = float((losses * weight).sum()) / 8
    found = task.mean_loss(output, {**some, "weight": weight}).item()
    assert found == pytest.approx(expected, rel=1e-5)
    plain = task.mean_loss(output, some).item()
    assert plain == pytest.approx(losses.mean().item(), rel=1e-6)
    assert found != pytest.approx(plain, rel=1e-3)
