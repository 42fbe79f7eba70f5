"""How a search's belief in its candidates evolves by epoch (paper, Fig. 4). Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from msnas.results.schema import Margin, Reading

BELIEFS = ("alpha", "theta")
"""Search parameters of every candidate: alpha in DARTS, theta in ASNG."""

LOSS = "valid/loss"
"""Key in a history; the weights and alpha are kept from the epoch with the lowest such loss."""

LAST_EPOCHS = 5
"""The noise of a margin is its spread over this number of last epochs."""

History = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """Alpha (DARTS) or theta (ASNG) by task and candidate, at the end of each epoch.

    `epochs` count from 1; `losses` are validation losses.
    """

    name: str
    epochs: Sequence[int]
    losses: Sequence[float | None]
    values: Mapping[str, Mapping[str, Sequence[float]]]

    @property
    def label(self) -> str:
        """The symbol of alpha or theta in TeX."""
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

    def reading(self, *, last: bool = False) -> Reading | None:
        """The epoch whose belief the search kept, and how clear it is; None without losses.

        The epoch is the first with the lowest validation loss, or the `last`. A task's margin is
        its leading candidate's probability there minus the largest other. The noise is the standard
        deviation of this difference over the last epochs of the search. A task is decided if both
        the margin and its mean over these epochs exceed twice the noise.
        """
        losses = {at: one for at, one in enumerate(self.losses) if one is not None}
        if not losses:
            return None
        at = max(losses) if last else min(losses, key=lambda epoch: losses[epoch])
        margins = {
            task: _margin(np.array(list(of_task.values())), at)
            for task, of_task in self.probabilities().items()
            if len(of_task) > 1
        }
        return {"epoch": self.epochs[at], "epochs": self.epochs[-1], "margins": margins}


def _margin(shares: Float[np.ndarray, "candidate epoch"], at: int) -> Margin:
    leader = int(shares[:, at].argmax())
    margins = shares[leader] - np.delete(shares, leader, 0).max(0)
    found: Margin = {"margin": float(margins[at]), "decided": False}
    if margins.size > 1:
        window = margins[-LAST_EPOCHS:]
        noise = float(window.std(ddof=1))
        decided = bool(min(margins[at], window.mean()) > 2 * noise)
        found = {**found, "noise": noise, "decided": decided}
    return found


def read_trajectories(history: History) -> list[Trajectory]:
    """The trajectories in a history; empty for a method without alpha or theta."""
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
        losses = [line.get(LOSS) for line in lines]
        found.append(Trajectory(name=name, epochs=epochs, losses=losses, values=values))
    return found


def read_beliefs(history: History, config: Mapping[str, Any]) -> Reading | None:
    """The `Trajectory.reading` of a search with this `config`; None without alpha or theta."""
    last = ((config.get("recipe") or {}).get("search") or {}).get("keep") == "last"
    return next((one.reading(last=last) for one in read_trajectories(history)), None)
