"""Kinds of task outputs: how a raw output is finished, and in which form the next task reads it.

In pre-training a later task reads the truth of an earlier task; in a chain it reads the earlier
task's output. An `Output` brings both into the same form.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional

from msnas.momentum import decode_pt, turn_back, wrap_angle
from msnas.part import Part


class Output(Part, ABC):
    """One kind of output; `shape` is the shape of a candidate's output per event."""

    def __init__(self, *, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The output's shape as a loss sees it; () for a logit per object, however many objects."""
        return self.shape

    def finish(self, mixed: Tensor) -> Tensor:
        """The finished output, from a candidate's raw output or a weighted mean of raw outputs."""
        return mixed

    @abstractmethod
    def from_truth(self, target: Tensor) -> Tensor:
        """The truth in the form in which the next task reads it in pre-training."""

    @abstractmethod
    def from_output(self, output: Tensor) -> Tensor:
        """The output in the form in which the next task reads it: the same as of `from_truth`."""

    def turn_back(self, output: Tensor, turn: Tensor) -> Tensor:
        """Transform an output or truth from an event's frame back to the detector's frame."""
        return output

    def prediction(self, output: Tensor) -> Tensor:
        """The output in the units a user reads."""
        return self.from_output(output)

    def truth(self, target: Tensor) -> Tensor:
        """The truth in the units a user reads."""
        return target


@final
class Regression(Output):
    """Real numbers; the next task reads them unchanged."""

    def from_truth(self, target: Tensor) -> Tensor:
        """The target, unchanged."""
        return target

    def from_output(self, output: Tensor) -> Tensor:
        """The output, unchanged."""
        return output


@final
class TauMomentum(Output):
    """Momenta (log(0.1 + pT/GeV), eta, phi), with phi wrapped to [-pi, pi) after mixing.

    phi must be mixed first: the mean of two wrapped angles on either side of pi is wrong by pi.
    """

    def finish(self, mixed: Float[Tensor, "event particle 3"]) -> Float[Tensor, "event particle 3"]:
        """The same momenta with phi in [-pi, pi)."""
        return torch.cat((mixed[..., :2], wrap_angle(mixed[..., 2:])), -1)

    def from_truth(self, target: Tensor) -> Tensor:
        """The target, unchanged."""
        return target

    def from_output(self, output: Tensor) -> Tensor:
        """The output, unchanged."""
        return output

    def turn_back(
        self, output: Float[Tensor, "event particle 3"], turn: Float[Tensor, "event 3"]
    ) -> Float[Tensor, "event particle 3"]:
        """The momenta, rotated and mirrored back to the detector's frame."""
        return turn_back(output, turn)

    def prediction(
        self, output: Float[Tensor, "event particle 3"]
    ) -> Float[Tensor, "event particle 3"]:
        """(pT [GeV], eta, phi)."""
        return torch.cat((decode_pt(output[..., :1]), output[..., 1:]), -1)

    def truth(self, target: Float[Tensor, "event particle 3"]) -> Float[Tensor, "event particle 3"]:
        """The true momenta as (pT [GeV], eta, phi)."""
        return self.prediction(target)


@final
class Binary(Output):
    """A logit per event, or logits of the given shape; the next task reads a probability, or 0/1.

    The next task reads it with an added last axis, [event, ..., 1], to join it with other inputs.
    """

    def __init__(self, *, shape: Sequence[int] = ()) -> None:
        super().__init__(shape=shape)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The shape (): a loss sees one logit at a time."""
        return ()

    def from_truth(self, target: Integer[Tensor, "event ..."]) -> Float[Tensor, "event ... 1"]:
        """The class as 0.0 or 1.0."""
        return target.float().unsqueeze(-1)

    def from_output(self, output: Float[Tensor, "event ..."]) -> Float[Tensor, "event ... 1"]:
        """The probability of class 1."""
        return output.sigmoid().unsqueeze(-1)

    def prediction(self, output: Float[Tensor, "event ..."]) -> Float[Tensor, "event ..."]:
        """The probability of class 1."""
        return output.sigmoid()


@final
class Classes(Output):
    """Logits [event, ..., class]; the next task reads softmax probabilities, or one-hot truth."""

    def from_truth(self, target: Integer[Tensor, "event ..."]) -> Tensor:
        """One-hot classes [event, ..., class]."""
        return functional.one_hot(target, self.shape[-1]).float()

    def from_output(self, output: Float[Tensor, "event ... class"]) -> Tensor:
        """Probabilities [event, ..., class]."""
        return output.softmax(-1)
