"""Cross entropy with class weights that follow from class counts in the training part."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional

from msnas.errors import ConfigError, DataError, TrainingError
from msnas.losses.logits import check_classes, class_count, cross_entropy, is_single, sum_of_event
from msnas.losses.loss import Loss

NORMALISATIONS = ("sum_to_classes", "mean_one")


class ClassWeightedLoss(Loss):
    """w_t (-log p_t) of an object of class t; the mean over events is not divided by weights.

    `normalisation="sum_to_classes"` scales the weights to a sum of the number of classes, as Cui
    et al. do; `"mean_one"` to a mean of 1 over the objects of the training part. PyTorch's own
    class weights are different: they divide the mean of a batch by the weights in it, which
    partly undoes the weighting of rare classes.
    """

    counts: Integer[Tensor, " class"]

    def __init__(self, *, normalisation: str) -> None:
        super().__init__()
        if normalisation not in NORMALISATIONS:
            raise ConfigError(
                f"loss.normalisation: expected one of {list(NORMALISATIONS)}, "
                f"found {normalisation!r}"
            )
        self.normalisation = normalisation
        self.classes = 2
        self.register_buffer("counts", torch.zeros(0, dtype=torch.int64), persistent=False)

    @abstractmethod
    def relative_weights(
        self, counts: Float[Tensor, " class"]
    ) -> Float[Tensor, " class"] | Float[Tensor, "event class"]:
        """Class weights up to a factor, from counts (float64); for all events or for each."""

    def prepare(self, shape: Sequence[int]) -> None:
        """Learn how many classes there are."""
        self.classes = class_count(shape)

    def fit(self, target: Integer[Tensor, "event ..."]) -> None:
        """Count the classes; raise DataError if a class is absent."""
        check_classes(target)
        self.counts = _present(torch.bincount(target.flatten(), minlength=self.classes))

    def weights(self) -> Float[Tensor, " class"] | Float[Tensor, "event class"]:
        """Weights of the classes in double precision; for all events or for each of them."""
        if len(self.counts) == 0:
            raise TrainingError(
                f"{type(self).__name__} was used before fit: it needs the class counts of the "
                "training part"
            )
        counts = self.counts.double()
        weights = self.relative_weights(counts)
        if self.normalisation == "sum_to_classes":
            return weights * (len(counts) / weights.sum(-1, keepdim=True))
        return weights * (counts.sum() / (weights * counts).sum(-1, keepdim=True))

    def forward(
        self, output: Float[Tensor, "event ..."], target: Integer[Tensor, "event ..."]
    ) -> Float[Tensor, " event"]:
        """Loss of every event, from one logit or a logit per class for each of its objects."""
        weights = self.weights().to(target.device)
        classes = 2 if is_single(output, target) else output.shape[-1]
        if classes > len(self.counts):
            _present(functional.pad(self.counts, (0, classes - len(self.counts))))
        if classes < len(self.counts):
            raise DataError(
                f"the training part holds classes 0 to {len(self.counts) - 1}, but the task's "
                f"output tells only {classes} apart"
            )
        of_event = weights.expand(len(target), classes)
        chosen = of_event.gather(1, target.reshape(len(target), -1)).view(target.shape)
        return sum_of_event(chosen.to(output.dtype) * cross_entropy(output, target))


def _present(counts: Integer[Tensor, " class"]) -> Integer[Tensor, " class"]:
    if absent := [number for number, count in enumerate(counts.tolist()) if count == 0]:
        raise DataError(
            f"class {', '.join(map(str, absent))} does not occur in the training part; counts of "
            f"the classes from 0: {counts.tolist()}; a loss that weights classes needs all"
        )
    return counts
