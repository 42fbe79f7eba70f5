"""Areas under the ROC curve (AUC) of one class against all other classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc
from torchmetrics.utilities import dim_zero_cat

from msnas.evaluation.variable_metric import VariableMetric
from msnas.evaluation.weighted import per_object, weighted_auc
from msnas.libraries import Metric
from msnas.part import Part


def log_odds(output: Float[Tensor, "event ... class"]) -> Float[Tensor, "event ... class"]:
    """log(p_c / (1 - p_c)) for the probability p_c of every class, precise even for p_c near 1."""
    classes = output.shape[-1]
    others = torch.eye(classes, dtype=torch.bool, device=output.device)
    without = torch.where(others, -torch.inf, output.unsqueeze(-2)).logsumexp(-1)
    return output - without


def auc_of(
    output: Float[Tensor, "event ... class"],
    target: Integer[Tensor, "event ..."],
    one: int,
    weight: Float[Tensor, " event"] | None = None,
) -> Float[Tensor, ""]:
    """AUC of class `one` against all others; without `weight`, 0 if either side has no object."""
    if weight is not None:
        each = per_object(weight, target).flatten()
        return weighted_auc(log_odds(output)[..., one].flatten(), (target == one).flatten(), each)
    # ranks between 0 and 1: torchmetrics leaves them unchanged, and the AUC depends on ranks alone
    rank = log_odds(output)[..., one].flatten().double()
    order = torch.unique(rank, return_inverse=True)[1].double() / max(1, rank.numel())
    return binary_auroc(order, (target == one).long().flatten())


class _Gathering(Metric):
    """Keeps the outputs and truths of all events."""

    higher_is_better = True
    full_state_update = False
    outputs: list[Tensor]
    targets: list[Tensor]
    weights: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("outputs", default=[], dist_reduce_fx="cat")
        self.add_state("targets", default=[], dist_reduce_fx="cat")
        self.add_state("weights", default=[], dist_reduce_fx="cat")

    def update(
        self,
        output: Float[Tensor, "event ... class"],
        target: Integer[Tensor, "event ..."],
        weight: Float[Tensor, " event"] | None = None,
    ) -> None:
        """Add the logits and truths of some events."""
        self.outputs.append(output)
        self.targets.append(target)
        if weight is not None:
            self.weights.append(weight)

    def auc(self, one: int) -> Float[Tensor, ""]:
        """The AUC of class `one` against all others, over all events."""
        weight = dim_zero_cat(self.weights) if self.weights else None
        return auc_of(dim_zero_cat(self.outputs), dim_zero_cat(self.targets), one, weight)


@final
class ClassAUC(Part, _Gathering):
    """AUC of the probability of the class `class_index` against all others; higher is better.

    Takes a logit per class on the last axis.

    Example:
        >>> auc = ClassAUC(class_index=2)
        >>> logits = torch.tensor([[0.0, 0.0, 3.0], [0.0, 1.0, 2.0], [2.0, 2.0, 3.5]])
        >>> auc.update(logits, torch.tensor([2, 1, 0]))  # p: .91, .67, .69
        >>> float(auc.compute())
        1.0

    """

    def __init__(self, *, class_index: int) -> None:
        super().__init__()
        self.class_index = class_index

    def compute(self) -> Tensor:
        """The AUC, a scalar."""
        return self.auc(self.class_index)


@final
class ClassAUCs(VariableMetric, _Gathering):
    """`ClassAUC` of each class; `classes` are the names of the classes from 0 on."""

    def __init__(self, *, classes: Sequence[str]) -> None:
        super().__init__(variables=classes)

    def compute(self) -> Float[Tensor, " variable"]:
        """The AUC of every class, class 0 first."""
        return torch.stack([self.auc(one) for one in range(self.outputs[0].shape[-1])])
