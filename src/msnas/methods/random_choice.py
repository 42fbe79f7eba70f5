"""One chain, chosen by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch

from msnas.chain.chain import Chain
from msnas.methods.method import Method, Selection

if TYPE_CHECKING:
    from msnas.study import Study


@final
class RandomChoice(Method):
    """A uniformly random chain, pre-trained and trained end to end: the floor for any search."""

    def __init__(self, *, supernet: Chain, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.path = tuple(
            names[int(torch.randint(len(names), (), generator=generator))]
            for names in supernet.names()
        )

    def pretrains(self, level: int, name: str) -> bool:
        """The chosen candidates."""
        return name == self.path[level]

    def select(self, study: Study) -> Selection:
        """The chain drawn from the seed."""
        return Selection(path=self.path)
