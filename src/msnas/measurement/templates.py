"""Expected yields of processes in bins, with their uncertainties. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer

from msnas.errors import DataError

FEWEST = 10
"""The fewest simulated events of each process in a bin, where the binning is chosen."""

Yields = Float[np.ndarray, "process bin"]


@dataclass(frozen=True, kw_only=True)
class Templates:
    """Yields of the `processes` in bins between `edges`, and the standard `errors` of simulation.

    `signal` are the processes that a signal strength multiplies. `rates` are relative uncertainties
    by name and process, of all bins together; `shapes` the yields under a shift up and down.
    """

    processes: Sequence[str]
    signal: Sequence[str]
    edges: Sequence[float]
    nominal: Yields
    errors: Yields
    rates: Mapping[str, Mapping[str, float]]
    shapes: Mapping[str, tuple[Yields, Yields]]

    def __post_init__(self) -> None:
        """Raise DataError, naming process and bin, for a negative yield or an empty bin."""
        every = {"": self.nominal} | {
            f" under {name} {way}": shape[place]
            for name, shape in self.shapes.items()
            for place, way in enumerate(("up", "down"))
        }
        for words, yields in every.items():
            for process, row in zip(self.processes, yields, strict=True):
                if (row < 0).any():
                    where = self.told(int(np.argmax(row < 0)))
                    raise DataError(
                        f"measurement.bins: {process} has a yield of {row.min():.4g} in {where}"
                        f"{words}, expected >= 0; take fewer bins"
                    )
            if (empty := yields.sum(0) == 0).any():
                where = self.told(int(np.argmax(empty)))
                raise DataError(f"measurement.bins: {where} is empty{words}; take fewer bins")

    def told(self, place: int) -> str:
        """A bin in words."""
        return f"bin {place} ({self.edges[place]:.4g} to {self.edges[place + 1]:.4g})"


def chosen_edges(
    values: Float[np.ndarray, " event"],
    weights: Float[np.ndarray, " event"],
    process: Integer[np.ndarray, " event"],
    *,
    signal: Sequence[int],
    bins: int,
    limits: tuple[float, float],
) -> list[float]:
    """Edges of at most `bins` bins between the `limits`, each with the same yield of signal.

    From the top, bins are joined until each holds FEWEST simulated events of each process.
    """
    of_signal = np.isin(process, signal)
    order = np.argsort(values[of_signal])
    shares = np.cumsum(weights[of_signal][order])
    places = np.searchsorted(shares / shares[-1], np.arange(1, bins) / bins)
    inner = np.unique(values[of_signal][order][places]) if bins > 1 else np.zeros(0)
    inner = inner[(inner > limits[0]) & (inner < limits[1])]
    counts = [np.sort(values[process == one]) for one in np.unique(process)]

    def enough(low: float, high: float) -> bool:
        return all(
            np.searchsorted(one, high) - np.searchsorted(one, low) >= FEWEST for one in counts
        )

    edges = [limits[1]]
    for edge in inner[::-1].tolist():
        if enough(edge, edges[-1]):
            edges.append(edge)
    while len(edges) > 1 and not enough(limits[0], edges[-1]):
        edges.pop()
    return [*edges, limits[0]][::-1]


def filled(
    values: Float[np.ndarray, " event"],
    weights: Float[np.ndarray, " event"],
    process: Integer[np.ndarray, " event"],
    *,
    edges: Sequence[float],
    yields: Sequence[float],
) -> tuple[Yields, Yields]:
    """Yields in bins, and their standard errors; the events of a process sum to its yield.

    Values beyond the edges are in the first or the last bin. Raises DataError for a process whose
    events have a sum of weights that is not positive.
    """
    place = np.digitize(values, edges[1:-1])
    nominal = np.zeros((len(yields), len(edges) - 1))
    errors = np.zeros_like(nominal)
    for row, expected in enumerate(yields):
        own = process == row
        total = weights[own].sum()
        if not total > 0:
            raise DataError(f"process {row}: its {own.sum()} events weigh {total:g}, expected > 0")
        scaled = weights[own] * (expected / total)
        nominal[row] = np.bincount(place[own], scaled, len(edges) - 1)
        errors[row] = np.sqrt(np.bincount(place[own], scaled**2, len(edges) - 1))
    return nominal, errors
