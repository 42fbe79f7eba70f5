"""What a tracker is: a mirror of a run directory, whole when the run is finished."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, final

from msnas.errors import one_line
from msnas.results.records import numbers_of
from msnas.results.result import Result
from msnas.run_directory import RunDirectory

log = logging.getLogger("msnas")

Tell = Callable[[Mapping[str, Any]], None]
"""A function that is called with a line of the history."""


class Tracker(ABC):
    """Mirrors configuration, history and result elsewhere; never the only copy.

    A mirror is whole or not there at all, and a new mirror replaces the last. A mirror that fails
    is a warning: the run was finished before. Some trackers show epochs as they end; epochs that
    were not shown, such as those from the cache, are in the mirror.
    """

    def epoch(self, directory: RunDirectory, line: Mapping[str, Any]) -> None:  # noqa: B027
        """Show an epoch, a line of the history, as it ends; most trackers do nothing here."""

    def leave(self) -> None:  # noqa: B027
        """Close what was shown of a run that ended with an error."""

    @abstractmethod
    def missing(self, directory: RunDirectory) -> bool:
        """Whether the run directory is without the mirror."""

    @abstractmethod
    def mirror(self, directory: RunDirectory, result: Mapping[str, Any]) -> str | None:
        """Write the mirror; return a line for the user, if there is something to say."""


@final
class NoTracker(Tracker):
    """No tracker: the run directory alone."""

    def missing(self, directory: RunDirectory) -> bool:
        """Never: there is no mirror to miss."""
        return False

    def mirror(self, directory: RunDirectory, result: Mapping[str, Any]) -> None:
        """Do nothing."""


@contextmanager
def live(tracker: Tracker, directory: RunDirectory) -> Iterator[Tell]:
    """A function that gives the tracker each epoch as it ends, until the tracker fails."""
    failed: list[Exception] = []

    def tell(line: Mapping[str, Any]) -> None:
        try:
            if not failed:
                tracker.epoch(directory, line)
        except Exception as error:
            failed.append(error)
            name = type(tracker).__name__
            log.warning("%s shows no epochs (%s); the run goes on", name, one_line(error))

    try:
        yield tell
    except BaseException:
        with suppress(Exception):
            tracker.leave()
        raise


def write_mirror(tracker: Tracker, directory: RunDirectory, result: Mapping[str, Any]) -> None:
    """Have the tracker write its mirror; if that fails, log a warning: the run is finished."""
    try:
        message = tracker.mirror(directory, result)
    except Exception as error:
        log.warning(
            "%s failed (%s); the run is complete. The same command tries again, "
            "logger=none does without",
            type(tracker).__name__,
            one_line(error),
        )
        log.debug("its traceback", exc_info=True)
        return
    if message:
        log.info(message)


def final_numbers(result: Mapping[str, Any]) -> dict[str, float]:
    """The selected chain's numbers as `<part>/<name>`."""
    return numbers_of(result["metrics"])


def choices(run: Result) -> dict[str, str | float]:
    """Seed, task weights, selected chain and candidates: what distinguishes runs in a tracker."""
    return {
        "seed": run.seed,
        **({} if run.v1 is None else {"v1": run.v1}),
        **{f"task_weight/{task}": weight for task, weight in run.task_weights.items()},
        "chain": run.chain,
        **{f"selected/{task}": candidate for task, candidate in run.selected.items()},
    }


def epoch_numbers(line: Mapping[str, Any]) -> dict[str, float]:
    """An epoch's numbers as `<stage>/<model>/<name>`, without its number and its time."""
    numbers = {name: value for name, value in line.items() if name not in ("epoch", "time")}
    return numbers_of(numbers, f"{line['stage']}/{line['model']}/")
