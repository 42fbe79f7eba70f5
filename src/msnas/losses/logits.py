"""Classes from one logit or from a logit per class.

A single logit per object, of the shape [event, ...] of the classes, is the logit of class 1 against
class 0; otherwise the last axis of the logits holds a logit for each class.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional

from msnas.errors import DataError


def is_single(logits: Tensor, target: Tensor) -> bool:
    """Whether there is one logit per object."""
    if logits.shape == target.shape:
        return True
    if logits.shape[:-1] != target.shape:
        raise ValueError(
            f"logits of shape {list(logits.shape)} do not belong to classes of shape "
            f"{list(target.shape)}"
        )
    return False


def class_count(shape: Sequence[int]) -> int:
    """How many classes an output of this shape per event tells apart."""
    return shape[-1] if shape else 2


def check_classes(target: Tensor) -> None:
    """Raise DataError unless `target` holds classes."""
    if target.is_floating_point():
        raise DataError(f"the loss needs classes, found a target of type {target.dtype}")


def cross_entropy(
    logits: Float[Tensor, "event ..."], target: Integer[Tensor, "event ..."]
) -> Float[Tensor, "event ..."]:
    """-log p_t of every object, p_t the probability of its true class."""
    if is_single(logits, target):
        return functional.binary_cross_entropy_with_logits(
            logits, target.to(logits.dtype), reduction="none"
        )
    each = functional.cross_entropy(logits.flatten(0, -2), target.flatten(), reduction="none")
    return each.view(target.shape)


def log_of_other_classes(
    logits: Float[Tensor, "event ..."], target: Integer[Tensor, "event ..."]
) -> Float[Tensor, "event ..."]:
    """log(1 - p_t) of every object, exact where p_t is nearly 1."""
    if is_single(logits, target):
        return functional.logsigmoid(torch.where(target == 1, -logits, logits))
    others = functional.one_hot(target, logits.shape[-1]) == 0
    return logits.log_softmax(-1).where(others, -torch.inf).logsumexp(-1)


def sum_of_event(each: Float[Tensor, "event ..."]) -> Float[Tensor, " event"]:
    """Sum over the objects of an event."""
    return each.reshape(len(each), -1).sum(1)
