"""How a method's belief in its candidates moved (paper, Fig. 4). Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

BELIEFS = ("alpha", "theta")
"""What DARTS and ASNG keep of every candidate."""


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """Alpha (DARTS) or theta (ASNG) by task and candidate, at the end of each epoch."""

    name: str
    epochs: Sequence[int]
    values: Mapping[str, Mapping[str, Sequence[float]]]

    @property
    def label(self) -> str:
        """Its symbol."""
        return rf"$\{self.name}$"

    def probabilities(self) -> dict[str, dict[str, Float[np.ndarray, " epoch"]]]:
        """By task and candidate: softmax(alpha) over a task's candidates, or theta itself."""
        found = {}
        for task, of_task in self.values.items():
            values = np.array(list(of_task.values()), dtype=float)
            if self.name == "alpha":
                values = np.exp(values - values.max(0))
                values /= values.sum(0)
            found[task] = dict(zip(of_task, values, strict=True))
        return found


def read_trajectories(history: Iterable[Mapping[str, Any]]) -> list[Trajectory]:
    """What a history holds of them: none for a method without."""
    search = [line for line in history if line["stage"] == "search"]
    found = []
    for name in BELIEFS:
        lines = [line for line in search if name in line]
        if not lines:
            continue
        values = {
            task: {
                candidate: [line[name][task][candidate] for line in lines] for candidate in of_task
            }
            for task, of_task in lines[0][name].items()
        }
        epochs = [line["epoch"] + 1 for line in lines]
        found.append(Trajectory(name=name, epochs=epochs, values=values))
    return found
