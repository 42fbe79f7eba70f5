"""Augmentation: training events are transformed at random in every epoch by exact symmetries."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from msnas.data.frames import OUTPUT_OF
from msnas.momentum import turn_back
from msnas.part import Part


class Augment(Part, ABC):
    """Draws a random transformed version of encoded training events."""

    @abstractmethod
    def draw(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """The batch with every event transformed at random; names and shapes do not change."""


@final
class RandomTurns(Augment):
    """Rotates every event about the beam by a random angle, and mirrors phi and eta at random.

    `momenta` are names of fields of encoded (log pT, eta, phi, ...); task outputs that replace such
    a field are transformed too. `images` are fields [..., eta, phi] around a jet, only mirrored.
    """

    def __init__(self, *, momenta: Sequence[str], images: Sequence[str]) -> None:
        self.momenta = tuple(momenta)
        self.images = tuple(images)

    def draw(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """The batch with every event rotated and mirrored at random."""
        events = len(next(iter(batch.values())))
        angle = (2 * torch.rand(events, generator=generator) - 1) * math.pi
        sign_phi, sign_eta = 2.0 * torch.randint(2, (2, events), generator=generator) - 1
        turn = torch.stack((angle, sign_phi, sign_eta), 1)
        drawn = dict(batch)
        for name in _of(batch, self.momenta):
            drawn[name] = turn_back(batch[name], turn)
        for name in _of(batch, self.images):
            images = batch[name].clone()
            images[sign_eta < 0] = images[sign_eta < 0].flip(-2)
            images[sign_phi < 0] = images[sign_phi < 0].flip(-1)
            drawn[name] = images
        return drawn


def _of(batch: Mapping[str, Tensor], names: Sequence[str]) -> Iterator[str]:
    """Names in the batch of the given fields, and of task outputs that replace them."""
    for name in batch:
        if name in names or name.partition(OUTPUT_OF)[0] in names:
            yield name
