"""Accuracies and the confusion matrix as metrics.

All take one logit per object, in the shape [event, ...] of the truth (class 1 if positive), or a
logit per class on the last axis (the largest decides). They count every object, so an event of two
digits counts twice. The metrics of torchmetrics differ: they mistake logits for probabilities when
all lie between 0 and 1, and expect several classes along the second axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import final

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from msnas.errors import ConfigError
from msnas.evaluation.variable_metric import VariableMetric
from msnas.evaluation.weighted import per_object
from msnas.libraries import Metric
from msnas.losses.logits import is_single
from msnas.part import Part


def decided(
    output: Float[Tensor, "event ..."], target: Integer[Tensor, "event ..."]
) -> Integer[Tensor, "event ..."]:
    """The class that the logits decide for."""
    return (output > 0).long() if is_single(output, target) else output.argmax(-1)


@final
class ClassAccuracy(Part, Metric):
    """Share of objects whose decided class is the true class; higher is better.

    With `class_index`, only objects of that true class enter.

    Example:
        >>> accuracy = ClassAccuracy()
        >>> accuracy.update(torch.tensor([[[3.0, 1.0], [0.0, 2.0]]]), torch.tensor([[0, 0]]))
        >>> float(accuracy.compute())
        0.5

    """

    higher_is_better = True
    full_state_update = False
    right: Tensor
    total: Tensor

    def __init__(self, *, class_index: int | None = None) -> None:
        super().__init__()
        self.class_index = class_index
        self.add_state("right", default=torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("total", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(
        self,
        output: Float[Tensor, "event ..."],
        target: Integer[Tensor, "event ..."],
        weight: Float[Tensor, " event"] | None = None,
    ) -> None:
        """Add the logits and truths of some events."""
        right, each = decided(output, target) == target, per_object(weight, target)
        if self.class_index is not None:
            of_class = target == self.class_index
            right, each = right[of_class], each[of_class]
        self.right = self.right + each[right].sum()
        self.total = self.total + each.sum()

    def compute(self) -> Tensor:
        """The accuracy, a scalar; NaN if no object is of the class."""
        return self.right / self.total


@final
class BalancedAccuracy(Part, Metric):
    """The mean over classes of the accuracy among the objects of a class; higher is better.

    Example:
        >>> accuracy = BalancedAccuracy(classes=2)
        >>> accuracy.update(torch.tensor([-1.0, -2.0, -0.5, -3.0]), torch.tensor([0, 0, 0, 1]))
        >>> float(accuracy.compute())  # three of four are right, but none of class 1
        0.5

    """

    higher_is_better = True
    full_state_update = False
    matrix: Tensor

    def __init__(self, *, classes: int) -> None:
        super().__init__()
        zeros = torch.zeros(classes, classes, dtype=torch.int64)
        self.add_state("matrix", default=zeros, dist_reduce_fx="sum")

    def update(
        self,
        output: Float[Tensor, "event ..."],
        target: Integer[Tensor, "event ..."],
        weight: Float[Tensor, " event"] | None = None,
    ) -> None:
        """Add the logits and truths of some events."""
        found = confusion_matrix(output, target, classes=len(self.matrix), weight=weight)
        self.matrix = self.matrix + found

    def compute(self) -> Tensor:
        """The balanced accuracy, a scalar; NaN if a class does not occur."""
        right: Tensor = self.matrix.diagonal() / self.matrix.sum(1)
        return right.mean()


@final
class Confusion(VariableMetric):
    """Numbers of objects `<true class>_as_<decided class>`; `classes` names the classes from 0 on.

    For weighted events, sums of weights replace the numbers.
    """

    higher_is_better = None
    full_state_update = False
    matrix: Tensor

    def __init__(self, *, classes: Sequence[str]) -> None:
        super().__init__(
            variables=[f"{true}_as_{found}" for true, found in product(classes, repeat=2)]
        )
        zeros = torch.zeros(len(classes), len(classes), dtype=torch.int64)
        self.add_state("matrix", default=zeros, dist_reduce_fx="sum")

    def update(
        self,
        output: Float[Tensor, "event ..."],
        target: Integer[Tensor, "event ..."],
        weight: Float[Tensor, " event"] | None = None,
    ) -> None:
        """Add the logits and truths of some events."""
        found = confusion_matrix(output, target, classes=len(self.matrix), weight=weight)
        self.matrix = self.matrix + found

    def compute(self) -> Tensor:
        """All numbers [variable], those with true class 0 first."""
        return self.matrix.flatten()


def confusion_matrix(
    output: Float[Tensor, "event ..."],
    target: Integer[Tensor, "event ..."],
    *,
    classes: int,
    weight: Float[Tensor, " event"] | None = None,
) -> Tensor:
    """Number of objects, or their weight, by true and decided class: [true, decided]."""
    found = decided(output, target)
    highest = int(torch.maximum(found, target).max())
    if highest >= classes:
        raise ConfigError(f"metrics: class {highest} occurs, but there are only {classes} classes")
    weights = None if weight is None else per_object(weight, target).flatten()
    pairs = torch.bincount((target * classes + found).flatten(), weights, minlength=classes**2)
    return pairs.view(classes, classes)
