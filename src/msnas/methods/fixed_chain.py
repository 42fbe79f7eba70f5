"""One chain, chosen by the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, final

from msnas.chain.chain import Chain, Path
from msnas.errors import ConfigError
from msnas.methods.method import Method, Selection
from msnas.methods.sequential import train_sequentially
from msnas.training.train import Trained

if TYPE_CHECKING:
    from msnas.study import Study


@final
class FixedChain(Method):
    """Trains the given chain by one of the two strategies of the paper's section 4.4.1.

    With `reoptimise`, its candidates are pre-trained on the truth, connected and trained end to
    end; without, a task's candidate is trained on the frozen outputs of those before it.
    """

    def __init__(self, *, supernet: Chain, chain: Sequence[str] | None, reoptimise: bool) -> None:
        self.path = check_path(chain, supernet)
        self.reoptimise = reoptimise

    def pretrains(self, level: int, name: str) -> bool:
        """The chain's own candidates; without re-optimisation they are trained in sequence."""
        return self.reoptimise and name == self.path[level]

    def select(self, study: Study) -> Selection:
        """The given chain."""
        return Selection(path=self.path)

    def finish(self, study: Study, path: Path) -> tuple[Mapping[str, Trained], Chain]:
        """Train end to end, or task after task."""
        if self.reoptimise:
            return super().finish(study, path)
        return train_sequentially(study, path)


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
