"""One chain without its intermediate task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, final

from msnas.chain.chain import Chain
from msnas.methods.fixed_chain import check_path
from msnas.methods.method import Method, Selection

if TYPE_CHECKING:
    from msnas.study import Study


@final
class EndToEnd(Method):
    """Trains the given chain from fresh weights on the last task's loss alone (the talk).

    No pre-training and no intermediate loss: what is between the tasks means nothing then. On a
    problem of one task this trains a single model, such as `problem=htautau_direct`.
    """

    intermediate_loss: ClassVar[bool] = False

    def __init__(self, *, supernet: Chain, chain: Sequence[str] | None) -> None:
        self.path = check_path(chain, supernet)

    def pretrains(self, level: int, name: str) -> bool:
        """Nothing."""
        return False

    def select(self, study: Study) -> Selection:
        """The given chain."""
        return Selection(path=self.path)
