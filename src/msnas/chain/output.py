"""What a task puts out: how outputs are finished after mixing, and how they reach the next task.

In pre-training a later task reads the truth of an earlier one; in a chain it reads the earlier
one's output. An `Output` brings both into the same form.
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
    """One kind of output; `shape` is what a candidate returns per event."""

    def __init__(self, *, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The shape as a loss sees it: for one logit per object (), however many objects."""
        return self.shape

    def finish(self, mixed: Tensor) -> Tensor:
        """The output from one candidate's raw output, or from a weighted mean of several."""
        return mixed

    @abstractmethod
    def from_truth(self, target: Tensor) -> Tensor:
        """What the next task reads in pre-training."""

    @abstractmethod
    def from_output(self, output: Tensor) -> Tensor:
        """What the next task reads in a chain: same form as `from_truth`."""

    def turn_back(self, output: Tensor, turn: Tensor) -> Tensor:
        """An output, or a truth, of events that are in a frame, in the detector's."""
        return output

    def prediction(self, output: Tensor) -> Tensor:
        """The output in the units a user reads."""
        return self.from_output(output)

    def truth(self, target: Tensor) -> Tensor:
        """The truth in the units a user reads."""
        return target


@final
class Regression(Output):
    """Numbers, handed on as they are."""

    def from_truth(self, target: Tensor) -> Tensor:
        """The target."""
        return target

    def from_output(self, output: Tensor) -> Tensor:
        """The output."""
        return output


@final
class TauMomentum(Output):
    """Momenta (log(0.1 + pT/GeV), eta, phi), phi brought to [-pi, pi) after mixing.

    Mixing first matters: the mean of two wrapped angles on either side of pi is wrong by pi.
    """

    def finish(self, mixed: Float[Tensor, "event particle 3"]) -> Float[Tensor, "event particle 3"]:
        """The same momenta with phi in [-pi, pi)."""
        return torch.cat((mixed[..., :2], wrap_angle(mixed[..., 2:])), -1)

    def from_truth(self, target: Tensor) -> Tensor:
        """The target."""
        return target

    def from_output(self, output: Tensor) -> Tensor:
        """The output."""
        return output

    def turn_back(
        self, output: Float[Tensor, "event particle 3"], turn: Float[Tensor, "event 3"]
    ) -> Float[Tensor, "event particle 3"]:
        """Turned and mirrored back."""
        return turn_back(output, turn)

    def prediction(
        self, output: Float[Tensor, "event particle 3"]
    ) -> Float[Tensor, "event particle 3"]:
        """(pT [GeV], eta, phi)."""
        return torch.cat((decode_pt(output[..., :1]), output[..., 1:]), -1)

    def truth(self, target: Float[Tensor, "event particle 3"]) -> Float[Tensor, "event particle 3"]:
        """(pT [GeV], eta, phi)."""
        return self.prediction(target)


@final
class Binary(Output):
    """A logit per event, or of the given shape; handed on as 0 or 1, or as a probability.

    The next task reads it with one more axis, [event, ..., 1], beside other numbers of an object.
    """

    def __init__(self, *, shape: Sequence[int] = ()) -> None:
        super().__init__(shape=shape)

    @property
    def numbers(self) -> tuple[int, ...]:
        """()."""
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
    """Logits of shape [event, ..., class]; handed on one-hot, or as softmax probabilities."""

    def from_truth(self, target: Integer[Tensor, "event ..."]) -> Tensor:
        """One-hot classes [event, ..., class]."""
        return functional.one_hot(target, self.shape[-1]).float()

    def from_output(self, output: Float[Tensor, "event ... class"]) -> Tensor:
        """Probabilities [event, ..., class]."""
        return output.softmax(-1)
