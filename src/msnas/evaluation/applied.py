"""Events together with the outputs of a chain for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from msnas.chain.chain import Chain, Path
from msnas.chain.task import Task
from msnas.data.events import Batch
from msnas.data.frames import TURN


@dataclass(frozen=True, kw_only=True)
class Applied:
    """`events` with the finished outputs of the chain `path`, by the prefix of the path."""

    chain: Chain
    path: Path
    events: Batch
    outputs: Mapping[Path, Tensor]

    @property
    def last(self) -> Task:
        """The last task of the chain."""
        return self.chain.tasks[-1]

    def output(self, level: int) -> Tensor:
        """The finished output of the task at `level`, counted from 0."""
        return self.outputs[self.path[: level + 1]]

    def detected(self) -> dict[str, Tensor]:
        """The finished outputs by task name, in the detector's frame."""
        found = {task.name: self.output(level) for level, task in enumerate(self.chain.tasks)}
        if TURN not in self.events:
            return found
        return {
            task.name: task.output.turn_back(found[task.name], self.events[TURN])
            for task in self.chain.tasks
        }
