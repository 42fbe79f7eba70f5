"""Losses against hand numbers, their gradients, and the traps of momenta and task weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from msnas.chain.chain import Chain
from msnas.chain.output import Binary, Regression
from msnas.chain.output import TauMomentum as TauMomentumOutput
from msnas.chain.task import Task
from msnas.errors import ConfigError
from msnas.evaluation.mean_loss import MeanLoss
from msnas.losses.binary_cross_entropy import BinaryCrossEntropy
from msnas.losses.loss import Loss
from msnas.losses.momentum import MomentumError
from msnas.losses.squared_error import SquaredError
from msnas.momentum import cartesian, decode_pt, encode_pt, wrap_angle
from msnas.weighting.fixed import Fixed


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


def random_batch(events: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([1.0, 1.0, 1.5], dtype=dtype)
    shift = torch.tensor([3.5, 0.0, 0.0], dtype=dtype)
    output, target = torch.randn(2, events, 2, 3, generator=generator, dtype=dtype) * scale + shift
    return output, target


@pytest.mark.parametrize(
    "loss",
    [MomentumError(), MomentumError(reduction="component_mean"), SquaredError()],
    ids=["event_sum", "component_mean", "squared_error"],
)
def test_one_value_per_event_whatever_the_others(loss: Loss) -> None:
    output, target = random_batch(6)
    values = loss(output, target)
    assert values.shape == (6,)
    for event in range(6):
        alone = loss(output[event : event + 1], target[event : event + 1])
        torch.testing.assert_close(alone[0], values[event])
    assert torch.equal(loss(target, target), torch.zeros(6, dtype=target.dtype))
    assert (values > 0).all()


def test_binary_cross_entropy_has_one_value_per_event() -> None:
    logits, labels = torch.linspace(-2, 2, 5), torch.tensor([0, 1, 0, 1, 1])
    values = BinaryCrossEntropy()(logits, labels)
    assert values.shape == (5,)
    for event in range(5):
        one = slice(event, event + 1)
        torch.testing.assert_close(BinaryCrossEntropy()(logits[one], labels[one]), values[one])


@pytest.mark.parametrize("reduction", ["event_sum", "component_mean"])
@pytest.mark.parametrize("log_pt", [-100.0, 0.0, 100.0])
@pytest.mark.parametrize("eta", [-50.0, 0.5, 50.0])
@pytest.mark.parametrize("phi", [-1e3, 0.0, 1e3])
def test_momentum_loss_and_gradient_stay_finite(
    reduction: str, log_pt: float, eta: float, phi: float
) -> None:
    output = torch.tensor([[[log_pt, eta, phi]] * 2]).requires_grad_()
    loss = MomentumError(reduction=reduction)(output, TRUTH.float())
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert output.grad is not None
    assert torch.isfinite(output.grad).all()


@pytest.mark.parametrize("logit", [-1e4, 1e4])
@pytest.mark.parametrize("truth", [0, 1])
def test_binary_cross_entropy_gradient_is_probability_minus_truth(logit: float, truth: int) -> None:
    output = torch.tensor([logit]).requires_grad_()
    BinaryCrossEntropy()(output, torch.tensor([truth])).sum().backward()
    assert output.grad is not None
    assert output.grad.tolist() == [float(logit > 0) - truth]


@pytest.mark.parametrize(
    "loss",
    [MomentumError(), MomentumError(reduction="component_mean"), SquaredError()],
    ids=["event_sum", "component_mean", "squared_error"],
)
def test_gradients_against_differences(loss: Loss) -> None:
    output, target = random_batch(3)
    assert torch.autograd.gradcheck(lambda one: loss(one, target), output.requires_grad_())


def test_binary_cross_entropy_gradient_against_differences() -> None:
    logits = torch.linspace(-3, 3, 6, dtype=torch.float64).requires_grad_()
    labels = torch.tensor([0, 1, 1, 0, 1, 0])
    assert torch.autograd.gradcheck(lambda one: BinaryCrossEntropy()(one, labels), logits)


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


class _Linear(nn.Module):
    """Reads one named tensor."""

    def __init__(self, size_in: int, size_out: int, *, squeeze: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(size_in, size_out)
        self.squeeze = squeeze

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        output: Tensor = self.linear(next(iter(inputs.values())))
        return output.squeeze(-1) if self.squeeze else output


@pytest.fixture
def two_tasks() -> tuple[Chain, dict[str, Tensor]]:
    torch.manual_seed(0)
    tasks = [
        Task(name="a", inputs=("x",), target="z", output=Regression(shape=[3]),
             loss=SquaredError(), metrics={}),
        Task(name="b", inputs=("z",), target="label", output=Binary(),
             loss=BinaryCrossEntropy(), metrics={}),
    ]  # fmt: skip
    chain = Chain(tasks, {"a": {"one": _Linear(2, 3)}, "b": {"one": _Linear(3, 1, squeeze=True)}})
    batch = {
        "x": torch.randn(8, 2),
        "z": torch.randn(8, 3),
        "label": torch.tensor([0, 1] * 4),
    }
    return chain, batch


@pytest.mark.parametrize("first_weight", [0.0, 0.3, 1.0])
def test_a_task_of_weight_0_gives_no_gradient_of_its_own(
    two_tasks: tuple[Chain, dict[str, Tensor]], first_weight: float
) -> None:
    chain, batch = two_tasks
    losses = chain.losses(chain.run(batch, ("one", "one")), batch)
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
        if name.startswith("candidates.b.") and first_weight == 1:
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


def test_event_weights_scale_the_mean_and_may_be_negative(
    two_tasks: tuple[Chain, dict[str, Tensor]],
) -> None:
    chain, batch = two_tasks
    task = chain.tasks[1]
    output = chain.run_on_truth(batch, 1, "one")
    losses = task.loss(output, batch["label"]).detach()
    weight = torch.tensor([2.0, -1.0, 0.0, 1.0, 1.0, 1.0, 3.0, 1.0])
    expected = float((losses * weight).sum()) / 8
    found = task.mean_loss(output, {**batch, "weight": weight}).item()
    assert found == pytest.approx(expected, rel=1e-5)
    plain = task.mean_loss(output, batch).item()
    assert plain == pytest.approx(losses.mean().item(), rel=1e-6)
    assert found != pytest.approx(plain, rel=1e-3)
