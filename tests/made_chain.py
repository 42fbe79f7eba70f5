"""Small chains of known tasks and networks, for tests that need no problem of conf/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import Metric

from msnas.chain.chain import Chain
from msnas.chain.output import Binary, Output, Regression
from msnas.chain.task import Task
from msnas.data.events import Batch
from msnas.losses.cross_entropy import BinaryCrossEntropy
from msnas.losses.loss import Loss
from msnas.losses.squared_error import SquaredError

WEIGHTS = (0.3, 0.7)


class Joined(nn.Module):
    """The joined inputs through one hidden layer; one number per event where `size_out` is None."""

    def __init__(self, size_in: int, size_out: int | None = None, *, hidden: int = 4) -> None:
        super().__init__()
        last = nn.Linear(hidden, size_out or 1)
        self.network = nn.Sequential(nn.Linear(size_in, hidden), nn.Tanh(), last)
        self.scalar = size_out is None

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        output: Tensor = self.network(torch.cat(tuple(inputs.values()), 1))
        return output.squeeze(-1) if self.scalar else output


class Constant(nn.Module):
    """The same raw output for every event."""

    def __init__(self, value: Sequence[Any] | float) -> None:
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


def task_of(
    name: str, inputs: str, target: str, output: Output, loss: Loss, **metrics: Metric
) -> Task:
    """Task of `inputs` separated by spaces."""
    read = tuple(inputs.split())
    return Task(name=name, inputs=read, target=target, output=output, loss=loss, metrics=metrics)


def regression(name: str, inputs: str, target: str, *shape: int) -> Task:
    return task_of(name, inputs, target, Regression(shape=shape), SquaredError())


def classification(name: str, inputs: str, target: str = "label") -> Task:
    return task_of(name, inputs, target, Binary(), BinaryCrossEntropy())


def two_tasks(first: int = 3, second: int = 2, *, seed: int = 0, **extra: nn.Module) -> Chain:
    """x (3 numbers) -> z (2) -> label, in float64, with candidates a, b, c, ...

    `extra` candidates of the first task replace those of the same name.
    """
    torch.manual_seed(seed)
    networks = {name: Joined(3, 2) for name in "abcdefgh"[:first]}
    return Chain(
        [regression("regress", "x", "z", 2), classification("classify", "z")],
        {"regress": networks | extra, "classify": {n: Joined(2) for n in "abcdefgh"[:second]}},
    ).double()


def events(seed: int, count: int = 20) -> Batch:
    """Random events of `two_tasks`."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "x": torch.randn(count, 3, generator=generator, dtype=torch.float64),
        "z": torch.randn(count, 2, generator=generator, dtype=torch.float64),
        "label": torch.randint(2, (count,), generator=generator),
    }


def loss_of(level: int, output: Tensor, batch: Batch) -> Tensor:
    """Mean loss of a task of `two_tasks`, written out."""
    if level == 0:
        return (output - batch["z"]).square().sum(1).mean()
    return functional.softplus((1 - 2 * batch["label"]) * output).mean()


def loss_of_path(chain: Chain, batch: Batch, path: Sequence[str]) -> Tensor:
    """The weighted loss of one chain of `two_tasks`, written out."""
    values, total = {"x": batch["x"]}, torch.zeros((), dtype=torch.float64)
    for level, name in enumerate(path):
        output = chain.candidate(level, name)(values)
        total = total + WEIGHTS[level] * loss_of(level, output, batch)
        values = {"z": output}
    return total
