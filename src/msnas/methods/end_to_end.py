"""One chain without its intermediate task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from msnas.chain.chain import Chain
from msnas.methods.fixed_chain import check_path
from msnas.methods.method import Choice, Method
from msnas.scoring import Scoring
from msnas.training.fit import Fit
from msnas.weighting.weighting import Weighting


@final
@dataclass(frozen=True, kw_only=True)
class EndToEnd(Method):
    """Trains the given chain from fresh weights on the last task's loss alone (the talk).

    No pre-training and no intermediate loss: what is between the tasks means nothing then. On a
    problem of one task this trains a single model, such as `problem=htautau_direct`.
    """

    intermediate_loss: ClassVar[bool] = False

    chain: Sequence[str] | None = None

    def check(self, chain: Chain, weighting: Weighting) -> None:
        """Raise ConfigError unless the given chain is one."""
        check_path(self.chain, chain)

    def pretrained(self, chain: Chain, seed: int) -> list[tuple[int, str]]:
        """Nothing."""
        return []

    def choose(self, chain: Chain, fit: Fit, scoring: Scoring) -> Choice:
        """The given chain."""
        return Choice(path=check_path(self.chain, chain))
