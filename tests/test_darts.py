"""DARTS: its gradients against autograd, its loss by hand, its selection against brute force."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import CONF, compose_config
from omegaconf import OmegaConf
from rich.console import Console
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from msnas.candidates.noise import Noise
from msnas.candidates.zeros import Zeros
from msnas.chain.chain import Chain
from msnas.chain.output import Binary, Regression, TauMomentum
from msnas.chain.task import Task
from msnas.data.events import Batch
from msnas.errors import ConfigError
from msnas.losses.binary_cross_entropy import BinaryCrossEntropy
from msnas.losses.squared_error import SquaredError
from msnas.methods.darts import DARTS
from msnas.methods.perturbation import perturbation_path
from msnas.run import run
from msnas.weighting.fixed import Fixed

WEIGHTS = (0.3, 0.7)
RATE = 0.1
DEFAULTS: dict[str, Any] = {
    "alpha_rate": None,
    "order": 1,
    "xi": None,
    "epsilon": 1.0,
    "selection": "argmax",
    "relaxation": "softmax",
    "temperatures": [1.0, 0.1],
}


class Network(nn.Module):
    """The joined inputs through one hidden layer."""

    def __init__(self, size_in: int, size_out: int, *, scalar: bool = False) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(size_in, 4), nn.Tanh(), nn.Linear(4, size_out))
        self.scalar = scalar

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        output: Tensor = self.network(torch.cat(tuple(inputs.values()), 1))
        return output.squeeze(-1) if self.scalar else output


class Constant(nn.Module):
    """The same raw output for every event."""

    def __init__(self, value: Sequence[Any]) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        count = len(next(iter(inputs.values())))
        return self.value.expand(count, *self.value.shape)


class Times(nn.Module):
    """The single input times a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        (value,) = inputs.values()
        return self.factor * value


def two_tasks(seed: int = 0, *, noise: bool = False) -> Chain:
    """x -> z (2 numbers) -> label; 3 and 2 candidates, in float64."""
    torch.manual_seed(seed)
    tasks = [
        Task(name="regress", inputs=("x",), target="z", output=Regression(shape=[2]),
             loss=SquaredError(), metrics={}),
        Task(name="classify", inputs=("z",), target="label", output=Binary(),
             loss=BinaryCrossEntropy(), metrics={}),
    ]  # fmt: skip
    third: nn.Module = Noise(shape=[2]) if noise else Network(3, 2)
    return Chain(
        tasks,
        {
            "regress": {"a": Network(3, 2), "b": Network(3, 2), "c": third},
            "classify": {"a": Network(2, 1, scalar=True), "b": Network(2, 1, scalar=True)},
        },
    ).double()


def events(seed: int, count: int = 20) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return {
        "x": torch.randn(count, 3, generator=generator, dtype=torch.float64),
        "z": torch.randn(count, 2, generator=generator, dtype=torch.float64),
        "label": torch.randint(2, (count,), generator=generator),
    }


def darts(chain: Chain, *, weights: Sequence[float] = WEIGHTS, **options: Any) -> DARTS:
    """The method, ready to learn without a trainer: plain backward and optimiser steps."""
    method = DARTS(
        supernet=chain,
        weighting=Fixed(weights=weights),
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=RATE),
        seed=5,
        **(DEFAULTS | options),
    )
    method.alpha.double()
    method.generator.manual_seed(11)
    optimizers = method.configure_optimizers()
    method.optimizers = lambda: optimizers
    method.weight_optimizer = lambda: optimizers[0]
    method.manual_backward = lambda loss: loss.backward()
    return method


def at_epoch(method: DARTS, epoch: int, *, epochs: int) -> None:
    method._trainer = SimpleNamespace(current_epoch=epoch, max_epochs=epochs)


def with_alpha(method: DARTS, values: Sequence[Sequence[float]]) -> DARTS:
    for alpha, value in zip(method.alpha, values, strict=True):
        alpha.data.copy_(torch.tensor(value))
    return method


ALPHA = ([0.3, -0.2, 0.5], [0.4, -0.1])

# ------------------------------------------------------------------ gradients by autograd

Parameters = dict[tuple[int, str], dict[str, Tensor]]


def parameters_of(chain: Chain) -> Parameters:
    return {
        (level, name): dict(chain.candidate(level, name).named_parameters())
        for level, names in enumerate(chain.names())
        for name in names
    }


def loss_by_hand(
    chain: Chain, parameters: Parameters, alpha: Sequence[Tensor], batch: Batch, epsilon: float
) -> Tensor:
    """The super-network's loss of `two_tasks`, written out, with any weights."""
    total = torch.zeros((), dtype=torch.float64)
    handed = {"x": batch["x"]}
    for level, names in enumerate(chain.names()):
        outputs = [
            functional_call(chain.candidate(level, name), parameters[level, name], (handed,))
            for name in names
        ]
        share = alpha[level].exp() / alpha[level].exp().sum()
        mixture = sum(one * output for one, output in zip(share, outputs, strict=True))
        for weight, output in [(1.0, mixture), *((epsilon, output) for output in outputs)]:
            if level == 0:
                loss = (output - batch["z"]).square().sum(1).mean()
            else:
                loss = functional.softplus((1 - 2 * batch["label"]) * output).mean()
            total = total + WEIGHTS[level] * weight * loss
        handed = {"z": mixture}
    return total


def unrolled_by_autograd(
    method: DARTS, train: Batch, valid: Batch, *, xi: float, draws: int, valid_draws: int
) -> Tensor:
    """d/dalpha L_valid(w - xi dL_train/dw, alpha), through the step."""
    chain, alpha = method.chain, list(method.alpha)
    start = parameters_of(chain)
    torch.manual_seed(draws)
    loss = loss_by_hand(chain, start, alpha, train, method.epsilon)
    flat = [value for own in start.values() for value in own.values()]
    slopes = iter(torch.autograd.grad(loss, flat, create_graph=True))
    ahead = {
        key: {name: value - xi * next(slopes) for name, value in own.items()}
        for key, own in start.items()
    }
    torch.manual_seed(valid_draws)
    loss = loss_by_hand(chain, ahead, alpha, valid, method.epsilon)
    return torch.cat(torch.autograd.grad(loss, alpha))


def next_draws(method: DARTS) -> int:
    """The seed of the draws that the method will make next."""
    generator = torch.Generator()
    generator.set_state(method.generator.get_state())
    return int(torch.randint(2**62, (), generator=generator))


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_second_order_is_the_gradient_through_the_step(seed: int, noise: bool) -> None:
    """First order, at the weights as they are or one step ahead, is far from it."""
    xi = 0.1
    method = with_alpha(darts(two_tasks(seed, noise=noise), order=2), ALPHA)
    train, valid = events(seed), events(seed + 100)
    exact = unrolled_by_autograd(
        method, train, valid, xi=xi, draws=next_draws(method), valid_draws=7
    )
    torch.manual_seed(7)
    found = torch.cat(method.unrolled_gradient(train, valid, xi=xi))
    torch.manual_seed(7)
    first_order = torch.cat(method._gradient(valid, list(method.alpha)))
    assert float((found - exact).norm() / exact.norm()) < 1e-3
    assert float((first_order - exact).norm() / exact.norm()) > 0.05
    # the term of the second order itself, not only its sum with the large first one
    torch.manual_seed(7)
    method_without = copy.deepcopy(method)
    method_without._weights = list(method_without.chain.parameters())
    with torch.no_grad():
        ahead = weights_ahead(method, train, xi=xi, draws=None if not noise else 0)
    if not noise:
        for weight, value in zip(method_without._weights, ahead, strict=True):
            weight.data.copy_(value)
        direct = torch.cat(method_without._gradient(valid, list(method_without.alpha)))
        assert float((direct - exact).norm() / exact.norm()) > 0.01
        assert float((found - exact).norm() / (exact - direct).norm()) < 0.02
