"""One chain, chosen by chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch

from msnas.chain.chain import Chain, Path
from msnas.methods.method import Choice, Method
from msnas.scoring import Scoring
from msnas.training.fit import Fit


@final
@dataclass(frozen=True, kw_only=True)
class RandomChoice(Method):
    """A uniformly random chain, pre-trained and trained end to end: the floor for any search."""

    def pretrained(self, chain: Chain, seed: int) -> list[tuple[int, str]]:
        """The chosen candidates."""
        return list(enumerate(draw_path(chain, seed)))

    def choose(self, chain: Chain, fit: Fit, scoring: Scoring) -> Choice:
        """The chain drawn from the seed."""
        return Choice(path=draw_path(chain, fit.method_seed))


def draw_path(chain: Chain, seed: int) -> Path:
    """One chain, each with the same probability."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        names[int(torch.randint(len(names), (), generator=generator))] for names in chain.names()
    )
