"""Runs that are the same but for some settings. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

from msnas.identity import digest
from msnas.report.chosen import number_of_runs
from msnas.report.collect import FinishedRun
from msnas.report.outputs import key_of
from msnas.report.settings import REPLICAS, settings_of

CONDITIONING = "conditioning"


def is_conditioned(run: FinishedRun) -> bool:
    """Whether it was trained once for a range of parameters."""
    return bool(run.result.get("conditions"))


def likeness(run: FinishedRun, without: Sequence[str]) -> str:
    """A word that is the same for runs which differ in seed, weights, and `without` alone.

    Settings in `without` are meant with all below them.
    """
    left = (*without, *REPLICAS)
    return digest(
        {
            key: value
            for key, value in settings_of(run).items()
            if not any(key == one or key.startswith(f"{one}.") for one in left)
        }
    )


def most_alike(
    runs: Sequence[FinishedRun], without: Sequence[str]
) -> tuple[list[FinishedRun], list[str]]:
    """The largest group of runs alike, repeats left out; and a note on the rest.

    Of groups as large as each other the first. A repeat differs in the machine alone.
    """
    groups: dict[str, list[FinishedRun]] = {}
    for run in runs:
        groups.setdefault(likeness(run, without), []).append(run)
    largest = max(groups.values(), key=len, default=[])
    left = len(runs) - len(largest)
    notes = [f"Not shown: {number_of_runs(left)} with other settings."] if left else []
    return list({key_of(run): run for run in largest}.values()), notes
