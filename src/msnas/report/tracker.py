"""What a tracker is: a mirror of a run directory, written once when the run's numbers are there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, final

from msnas.run_directory import RunDirectory


class Tracker(ABC):
    """Mirrors configuration, history and result elsewhere; never the only copy.

    The run is finished before; a mirror that fails is a warning.
    """

    @abstractmethod
    def mirror(self, directory: RunDirectory, result: Mapping[str, Any]) -> str | None:
        """Write the mirror; return a line for the user, if there is something to say."""


@final
class NoTracker(Tracker):
    """Nothing beside the run directory."""

    def mirror(self, directory: RunDirectory, result: Mapping[str, Any]) -> None:
        """Do nothing."""


def final_numbers(result: Mapping[str, Any]) -> dict[str, float]:
    """The selected chain's numbers as `<part>/<name>`."""
    return {
        f"{part}/{name}": value
        for part, values in result["metrics"].items()
        for name, value in _flat(values).items()
    }


def epoch_numbers(line: Mapping[str, Any]) -> dict[str, float]:
    """An epoch's numbers as `<stage>/<model>/<name>`."""
    return {
        f"{line['stage']}/{line['model']}/{name}": value
        for name, value in _flat(line).items()
        if name != "epoch"
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            flat[prefix + name] = value
    return flat
