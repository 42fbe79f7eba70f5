"""Losses for rare classes: hand numbers, limits, second implementations, gradients, bad input."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import CONF
from omegaconf import OmegaConf
from test_losses import EVERY_SHAPE, MAKERS, balanced, batch, plain, ready

from msnas.build import build
from msnas.errors import ConfigError, DataError, TrainingError
from msnas.losses.affinity import Affinity
from msnas.losses.class_balanced import ClassBalanced
from msnas.losses.class_weights import ClassWeightedLoss
from msnas.losses.focal import Focal
from msnas.losses.inverse_class_frequency import InverseClassFrequency
from msnas.losses.loss import Loss

# beta, then weights of sum 2 for 45,000 and 5,000 events, from decimal numbers of 60 digits
HAND = [
    (0.9, 1.000000000000000, 1.000000000000000, 1.00),
    (0.999, 0.996628112603714, 1.003371887396286, 1.01),
    (0.9999, 0.569286406919873, 1.430713593080127, 2.51),
    (0.99999, 0.237244380937260, 1.762755619062740, 7.43),
]


@pytest.mark.parametrize(("beta", "major", "minor", "ratio"), HAND)
def test_class_balanced_weights_by_hand(
    beta: float, major: float, minor: float, ratio: float
) -> None:
    loss = balanced(1 - beta)
    loss.fit(torch.tensor([0] * 45_000 + [1] * 5_000))
    weights = loss.weights()
    assert weights.dtype == torch.float64
    assert weights.tolist() == pytest.approx([major, minor], rel=1e-11)
    assert round(float(weights[1] / weights[0]), 2) == ratio


@pytest.mark.parametrize("one_minus_beta", [1e-3, 1e-6, 1e-9, 1e-13, 1e-17, 1e-300])
def test_class_balanced_weights_are_exact_for_small_one_minus_beta(one_minus_beta: float) -> None:
    """E = n (1 - (n - 1) x / 2 + (n - 1)(n - 2) x^2 / 6 - ...) with x = 1 - beta."""
    loss = balanced(one_minus_beta)
    loss.fit(torch.tensor([0] * 9 + [1] * 3))
    x = one_minus_beta
    series = [n * (1 - (n - 1) * x / 2 + (n - 1) * (n - 2) * x**2 / 6) for n in (9, 3)]
    weights = loss.weights()
    assert float(weights[1] / weights[0]) == pytest.approx(series[0] / series[1], rel=1e-6)
    assert float(weights[1] / weights[0]) == pytest.approx(3, rel=max(4 * x, 1e-14))


@EVERY_SHAPE
@pytest.mark.parametrize("normalisation", ["sum_to_classes", "mean_one"])
def test_limits_of_class_balancing(shape: tuple[int, ...], normalisation: str) -> None:
    output, target = batch(shape)
    assert torch.equal(ready(balanced(1.0, normalisation), shape)(output, target),
                       plain(output, target))  # fmt: skip
    inverse = ready(InverseClassFrequency(normalisation=normalisation), shape)
    expected = inverse(output, target)
    assert not torch.allclose(expected, plain(output, target))
    for one_minus_beta in (0.0, 1e-15):
        found = ready(balanced(one_minus_beta, normalisation), shape)(output, target)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_weights_of_several_classes_by_hand() -> None:
    truths = torch.tensor([0] * 6 + [1] * 3 + [2])
    inverse = InverseClassFrequency(normalisation="sum_to_classes")
    inverse.fit(truths)
    # 1/6 : 1/3 : 1, a sum of 3/2
    assert inverse.weights().tolist() == pytest.approx([1 / 3, 2 / 3, 2])
    inverse = InverseClassFrequency(normalisation="mean_one")
    inverse.fit(truths)
    # 10 / (3 n)
    assert inverse.weights().tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    mean_one = balanced(0.5, "mean_one")
    mean_one.fit(truths)
    # E = 2 (1 - 2^-n) = 63/32, 7/4, 1
    relative = np.array([32 / 63, 4 / 7, 1])
    expected = relative * 10 / (relative @ [6, 3, 1])
    assert mean_one.weights().tolist() == pytest.approx(expected.tolist())
    assert float(mean_one.weights()[truths].mean()) == pytest.approx(1)


def test_class_weights_scale_the_events_and_are_not_divided_out() -> None:
    """PyTorch's weighted mean of a batch of one class is the unweighted one; ours is not."""
    loss = ready(InverseClassFrequency(normalisation="sum_to_classes"), (2,))
    output, target = batch((2,))
    weights = torch.tensor([0.4, 1.6], dtype=torch.float64)  # of 40 and 10 events
    torch.testing.assert_close(loss(output, target), weights[target] * plain(output, target))
    rare = torch.ones_like(target)
    ratio = loss(output, rare).mean() / plain(output, rare).mean()
    assert float(ratio) == pytest.approx(1.6)


def test_focal_by_hand() -> None:
    p = torch.tensor([0.9, 0.5, 0.2], dtype=torch.float64)
    ones = torch.ones(3, dtype=torch.int64)
    expected = [-(0.1**2) * math.log(0.9), -(0.5**2) * math.log(0.5), -(0.8**2) * math.log(0.2)]
    loss = Focal(gamma=2.0, alpha=None)
    assert loss(p.logit(), ones).tolist() == pytest.approx(expected, rel=1e-12)
    assert loss(-p.logit(), 1 - ones).tolist() == pytest.approx(expected, rel=1e-12)
    of_three = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64)
    for index, share in enumerate([0.7, 0.2, 0.1]):
        found = Focal(gamma=1.5, alpha=None)(of_three.log() + 5, torch.tensor([index]))
        assert found.item() == pytest.approx(-((1 - share) ** 1.5) * math.log(share), rel=1e-12)


def test_focal_weights_of_classes() -> None:
    output, target = batch(())
    bare = Focal(gamma=2.0, alpha=None)(output, target)
    quarter = torch.tensor([0.75, 0.25], dtype=torch.float64)[target]
    torch.testing.assert_close(Focal(gamma=2.0, alpha=0.25)(output, target), quarter * bare)
    three = torch.tensor([0.5, 3.0], dtype=torch.float64)[target]
    torch.testing.assert_close(Focal(gamma=2.0, alpha=[0.5, 3.0])(output, target), three * bare)


@EVERY_SHAPE
def test_focal_with_gamma_0_is_cross_entropy(shape: tuple[int, ...]) -> None:
    output, target = batch(shape)
    assert torch.equal(Focal(gamma=0.0, alpha=None)(output, target), plain(output, target))


@pytest.mark.parametrize("name", [name for name in MAKERS if "affinity" not in name])
def test_one_logit_is_the_difference_of_two(name: str) -> None:
    output, target = batch((2,))
    two = ready(MAKERS[name](), (2,))(output, target)
    one = ready(MAKERS[name](), ())(output[:, 1] - output[:, 0], target)
    torch.testing.assert_close(one, two)


def test_only_affinity_learns_and_class_counts_are_no_weights() -> None:
    for name, make in MAKERS.items():
        state = ready(make(), (2,)).state_dict()
        assert list(state) == (["positions"] if "affinity" in name else [])


@pytest.mark.parametrize("name", [name for name in MAKERS if "affinity" not in name])
def test_score_is_the_output_itself(name: str) -> None:
    output, _ = batch((4,))
    assert ready(MAKERS[name](), (4,)).score(output) is output


def test_focal_falls_off_where_the_naive_power_has_no_gradient() -> None:
    """d/dz of (1 - p)^gamma (-log p) tends to -(1 + gamma) exp(-(1 + gamma) z)."""
    z = torch.tensor([20.0, 40.0, 100.0], dtype=torch.float64, requires_grad=True)
    Focal(gamma=0.5, alpha=None)(z, torch.ones(3, dtype=torch.int64)).sum().backward()
    assert z.grad is not None
    expected = [-1.5 * math.exp(-1.5 * value) for value in (20.0, 40.0, 100.0)]
    assert z.grad.tolist() == pytest.approx(expected, rel=1e-6)
    naive = torch.tensor([40.0], dtype=torch.float64, requires_grad=True)
    p = naive.sigmoid()
    (-((1 - p) ** 0.5) * p.log()).sum().backward()
    assert naive.grad is not None
    assert not torch.isfinite(naive.grad).all()


VARIED = [
    ("class_balanced", "one_minus_beta", [0.0, 1e-9, 1e-3, 0.05, 0.5, 1.0]),
    ("class_balanced_mean_one", "one_minus_beta", [0.0, 1e-9, 1e-3, 0.05, 0.5, 1.0]),
    ("focal", "gamma", [0.0, 0.3, 0.5, 1.0, 2.0, 5.0]),
    ("affinity", "sigma", [0.5, 1.0, 2.0, 5.0, 10.0, 20.0]),
    ("affinity_centres", "margin", [0.0, 0.1, 0.4, 0.75, 0.9, 1.0]),
]


@EVERY_SHAPE
@pytest.mark.parametrize(("name", "parameter", "values"), VARIED)
def test_a_value_for_every_event_equals_fixed_ones(
    name: str, parameter: str, values: list[float], shape: tuple[int, ...]
) -> None:
    loss = ready(MAKERS[name](), shape)
    assert parameter in loss.varying
    output, target = batch(shape)
    before = loss(output, target)
    varied = loss.at({parameter: torch.tensor(values, dtype=torch.float64)})
    found, scores = varied(output, target), varied.score(output)
    for event, value in enumerate(values):
        one = slice(event, event + 1)
        fixed = ready(MAKERS[name](), shape)
        setattr(fixed, parameter, value)
        torch.testing.assert_close(found[one], fixed(output[one], target[one]))
        torch.testing.assert_close(scores[one], fixed.score(output[one]))
    assert torch.equal(loss(output, target), before), "the loss itself has changed"
    assert not torch.allclose(found, before)
    single = varied.float()(output.float(), target)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), found, rtol=1e-4, atol=1e-5)


def test_values_in_single_precision_are_not_rounded_to_beta_1() -> None:
    """1 - 1e-9 is 1 in single precision, so the weights take 1 - beta and count in double."""
    loss = ready(balanced(1.0), ())
    assert isinstance(loss, ClassWeightedLoss)
    weights = loss.at({"one_minus_beta": torch.tensor([1e-9, 1e-2])}).weights()
    expected = [ready(balanced(value), ()) for value in (1e-9, 1e-2)]
    for found, one in zip(weights, expected, strict=True):
        assert isinstance(one, ClassWeightedLoss)
        torch.testing.assert_close(found, one.weights(), rtol=1e-7, atol=0)


def test_a_loss_at_other_values_shares_what_is_trained() -> None:
    loss = ready(MAKERS["affinity"](), ())
    varied = loss.at({"sigma": torch.tensor([1.0, 2.0])})
    assert [id(one) for one in varied.parameters()] == [id(one) for one in loss.parameters()]


@pytest.mark.parametrize("value", [-1e-9, 1.0000001, 2, math.nan, math.inf, "0.5", None, True])
def test_one_minus_beta_must_be_a_share(value: object) -> None:
    with pytest.raises(
        ConfigError, match=r"loss\.one_minus_beta: expected a number from 0 to 1, found "
    ):
        ClassBalanced(one_minus_beta=value, normalisation="mean_one")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Focal(gamma=-0.5, alpha=None), r"loss\.gamma: .* number >= 0, found -0\.5"),
        (lambda: Focal(gamma=math.inf, alpha=None), r"loss\.gamma: .* finite number"),
        (lambda: Focal(gamma=1, alpha=1.5), r"loss\.alpha: .* from 0 to 1, found 1\.5"),
        (lambda: Focal(gamma=1, alpha=[1.0, -1.0]), r"loss\.alpha: .* >= 0, found -1"),
        (lambda: Affinity(sigma=0.0, margin=0.7, centres=1), r"loss\.sigma: .* > 0, found 0"),
        (lambda: Affinity(sigma=1.0, margin=-1.0, centres=1), r"loss\.margin: .* >= 0, found -1"),
        (lambda: Affinity(sigma=1.0, margin=0.7, centres=0), r"loss\.centres: .* >= 1, found 0"),
        (lambda: Affinity(sigma=1.0, margin=0.7, centres=1.5), r"loss\.centres: .* found 1\.5"),  # type: ignore[arg-type]
        (lambda: balanced(0.1, "sum"), r"loss\.normalisation: .*'mean_one'\], found 'sum'"),
    ],
)  # fmt: skip
def test_bad_parameters_are_refused(make: Callable[[], Loss], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make()


def test_bad_values_for_events_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"loss\.gamma: ClassBalanced has no .*allowed are \['one_minus_beta'\]"
    ):
        balanced(0.1).at({"gamma": torch.ones(2)})
    with pytest.raises(ConfigError, match=r"loss\.one_minus_beta: .*found 2 in 1 of 3 events"):
        balanced(0.1).at({"one_minus_beta": torch.tensor([0.1, 2.0, 0.3])})
    with pytest.raises(ConfigError, match=r"loss\.gamma: .*found nan in 2 of 2 events"):
        Focal(gamma=1.0, alpha=None).at({"gamma": torch.full((2,), math.nan)})


@pytest.mark.parametrize("name", ["inverse_class_frequency", "class_balanced"])
def test_a_class_absent_from_training_is_refused(name: str) -> None:
    loss = MAKERS[name]()
    with pytest.raises(
        DataError, match=r"class 1 does not occur in the training part; counts .* \[7, 0\]"
    ):
        loss.fit(torch.zeros(7, dtype=torch.int64))
    loss.prepare((4,))
    with pytest.raises(DataError, match=r"class 1, 3 does not occur .* \[1, 0, 2, 0\]"):
        loss.fit(torch.tensor([0, 2, 2]))
    unprepared = MAKERS[name]()
    unprepared.fit(torch.tensor([0, 1, 1]))
    with pytest.raises(DataError, match=r"class 2 does not occur .* \[1, 2, 0\]"):
        unprepared(torch.zeros(1, 3), torch.tensor([0]))


def test_losses_refuse_what_they_cannot_judge() -> None:
    output, target = batch(())
    with pytest.raises(TrainingError, match="ClassBalanced was used before fit"):
        balanced(0.1)(output, target)
    with pytest.raises(TrainingError, match="Affinity was used before prepare"):
        MAKERS["affinity"]().score(output)
    with pytest.raises(DataError, match=r"needs classes, found .* torch\.float32"):
        balanced(0.1).fit(torch.zeros(3))
    three = balanced(0.1)
    three.fit(torch.tensor([0, 1, 2]))
    with pytest.raises(DataError, match=r"holds classes 0 to 2, .* output tells only 2 apart"):
        three(output, target)
    with pytest.raises(ConfigError, match=r"loss\.alpha: .* each of 2 classes, found 3"):
        Focal(gamma=1.0, alpha=[1.0, 1.0, 1.0])(output, target)
    with pytest.raises(ValueError, match="prepared for 1 features, found 4"):
        ready(MAKERS["affinity"](), ())(*batch((4,)))


CONFIGURED = {
    "inverse_class_frequency": {"normalisation": "sum_to_classes"},
    "class_balanced": {"one_minus_beta": 1e-4, "normalisation": "sum_to_classes"},
    "focal": {"gamma": 2.0, "alpha": ()},
    "affinity": {"sigma": 10.0, "margin": 0.75, "centres": 1},
}


@pytest.mark.parametrize("name", CONFIGURED)
@EVERY_SHAPE
def test_configured_losses_judge_any_classifier(name: str, shape: tuple[int, ...]) -> None:
    loss = build(OmegaConf.load(CONF / "loss" / f"{name}.yaml"), key="loss", of=Loss)
    assert {key: getattr(loss, key) for key in CONFIGURED[name]} == CONFIGURED[name]
    output, target = batch(shape)
    assert torch.isfinite(ready(loss, shape)(output, target)).all()
