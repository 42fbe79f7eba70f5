"""One chain, chosen by the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from msnas.chain.chain import Chain, Path
from msnas.errors import ConfigError
from msnas.methods.method import Choice, Method
from msnas.methods.sequential import train_sequentially
from msnas.scoring import Scoring
from msnas.training.fit import Fit
from msnas.training.train import Trained
from msnas.weighting.weighting import Weighting


@final
@dataclass(frozen=True, kw_only=True)
class FixedChain(Method):
    """Trains the given chain by one of the two strategies of the paper's section 4.4.1.

    With `reoptimise`, its candidates are pre-trained on the truth, connected and trained end to
    end; without, a task's candidate is trained on the frozen outputs of those before it.
    """

    chain: Sequence[str] | None = None
    reoptimise: bool = True

    def check(self, chain: Chain, weighting: Weighting) -> None:
        """Raise ConfigError unless the given chain is one."""
        check_path(self.chain, chain)

    def pretrained(self, chain: Chain, seed: int) -> list[tuple[int, str]]:
        """The chain's own candidates; without re-optimisation they are trained in sequence."""
        return list(enumerate(check_path(self.chain, chain))) if self.reoptimise else []

    def choose(self, chain: Chain, fit: Fit, scoring: Scoring) -> Choice:
        """The given chain."""
        return Choice(path=check_path(self.chain, chain))

    def finish(self, chain: Chain, path: Path, fit: Fit) -> tuple[Mapping[str, Trained], Chain]:
        """Train end to end, or task after task."""
        if self.reoptimise:
            return super().finish(chain, path, fit)
        return train_sequentially(chain, path, fit)


def check_path(path: Sequence[str] | None, chain: Chain) -> Path:
    """`path` as one candidate per task of `chain`; else raise ConfigError."""
    names = chain.names()
    if path is None or len(path) != len(names):
        raise ConfigError(
            f"method.chain: expected one candidate of each of {names}, found {path}; "
            "give method.chain=[...]"
        )
    for name, allowed in zip(path, names, strict=True):
        if name not in allowed:
            raise ConfigError(f"method.chain: {name!r} is not a candidate; allowed are {allowed}")
    return tuple(path)
