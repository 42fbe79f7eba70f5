"""How a method's belief in its candidates moved (paper, Fig. 4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

LABELS = {"alpha": r"$\alpha$", "theta": r"$\theta$"}


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """Alpha (DARTS) or theta (ASNG) of every candidate at the end of each epoch of the search."""

    name: str
    epochs: Sequence[int]
    values: Mapping[str, Mapping[str, Sequence[float]]]

    @property
    def label(self) -> str:
        """Its symbol."""
        return LABELS[self.name]

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
    lines = [line for line in history if line["stage"] == "search"]
    found = []
    for name in LABELS:
        epochs = [line for line in lines if name in line]
        if not epochs:
            continue
        found.append(
            Trajectory(
                name=name,
                epochs=[line["epoch"] + 1 for line in epochs],
                values={
                    task: {
                        candidate: [line[name][task][candidate] for line in epochs]
                        for candidate in of_task
                    }
                    for task, of_task in epochs[0][name].items()
                },
            )
        )
    return found


def plot_trajectories(history: Iterable[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Draw alpha (DARTS) or theta (ASNG) of every candidate against the epoch of the search.

    One panel per task. Returns the files written, `alpha.png` and `alpha.pdf` or those of theta;
    none for a history without either.
    """
    written = []
    for one in read_trajectories(history):
        # drawing takes half a second to import: only for a run that has something to draw
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.8 * len(one.values), 3.6), layout="constrained")
        panels = figure.subplots(1, len(one.values), squeeze=False)[0]
        for axes, (task, of_task) in zip(panels, one.values.items(), strict=True):
            for candidate, values in of_task.items():
                axes.plot(one.epochs, values, label=candidate)
            axes.set(title=task, xlabel="epoch", ylabel=one.label)
            axes.legend(fontsize="small")
        for ending in ("png", "pdf"):
            path = folder / f"{one.name}.{ending}"
            figure.savefig(path, dpi=150)
            written.append(path)
    return written
