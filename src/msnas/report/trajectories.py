"""How a method's belief in its candidates moved (paper, Fig. 4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

LABELS = {"alpha": r"$\alpha$", "theta": r"$\theta$"}


def plot_trajectories(history: Iterable[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Draw alpha (DARTS) or theta (ASNG) of every candidate against the epoch of the search.

    One panel per task. Returns the files written, `alpha.png` and `alpha.pdf` or those of theta;
    none for a history without either.
    """
    lines = [line for line in history if line["stage"] == "search"]
    written = []
    for name, label in LABELS.items():
        epochs = [line for line in lines if name in line]
        if not epochs:
            continue
        # drawing takes half a second to import: only for a run that has something to draw
        from matplotlib.figure import Figure

        tasks = list(epochs[0][name])
        figure = Figure(figsize=(4.8 * len(tasks), 3.6), layout="constrained")
        for task, axes in zip(tasks, figure.subplots(1, len(tasks), squeeze=False)[0], strict=True):
            for candidate in epochs[0][name][task]:
                axes.plot(
                    [line["epoch"] + 1 for line in epochs],
                    [line[name][task][candidate] for line in epochs],
                    label=candidate,
                )
            axes.set(title=task, xlabel="epoch", ylabel=label)
            axes.legend(fontsize="small")
        for ending in ("png", "pdf"):
            path = folder / f"{name}.{ending}"
            figure.savefig(path, dpi=150)
            written.append(path)
    return written
