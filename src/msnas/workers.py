"""Processes that help a single run on an idle machine. Imports no PyTorch.

A worker does trainings that the run will want and puts them into the store, where the run takes
them from. The run depends on no worker: what a worker does not finish, the run trains itself, and
meets the same errors.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from msnas.scan.tether import Tether

log = logging.getLogger("msnas")

MOST = 4
"""Most processes by `auto`: the longest training decides, and each holds the events in memory."""

LEAST_WORK, MOST_EVENTS = 300_000, 300_000
"""Fewer events times epochs are trained before a process is up (5 s); more events fill memory."""


def processes(
    asked: int | str, *, left: int, events: int, epochs: int, threads: int, accelerator: str
) -> int:
    """Number of processes that share `left` trainings, the run's own among them.

    `auto` counts cores that are idle, by the load of the last minute, `threads` to a process.
    """
    if asked != "auto":
        return max(1, min(int(asked), left))
    if accelerator != "cpu" or events > MOST_EVENTS or left * events * epochs < LEAST_WORK:
        return 1
    from joblib import cpu_count  # knows the limits of a container, too

    idle = int(cpu_count()) - round(os.getloadavg()[0])
    return max(1, min(idle // threads, left, MOST))


@contextmanager
def helped(count: int, work: Callable[..., None], *arguments: Any) -> Iterator[None]:
    """Inside, `count` processes do `work(*arguments, place)`; `place` counts them from 0.

    At the end of the block, or of this process, they end at once, whatever they are doing.
    """
    if not count:
        yield
        return
    from joblib.externals.loky.backend import get_context
    from joblib.externals.loky.backend.resource_tracker import ensure_running

    ensure_running()  # first, as its start unblocks signals again
    name = (work.__module__, work.__qualname__)
    # unlike that of the standard library, this context does not import the user's script again
    workers = [
        get_context("loky").Process(
            target=_work, args=(Tether.to_this_process(), name, *arguments, place), daemon=True
        )
        for place in range(count)
    ]
    # a terminal sends Ctrl-C to all processes, but ends this one alone
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for worker in workers:
            worker.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield
        for worker in workers:
            if worker.exitcode:  # it has ended
                log.warning(
                    "a worker ended with status %s: the run did its part (trainer.workers=1 does "
                    "without)",
                    worker.exitcode,
                )
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()


def _work(tether: Tether, name: tuple[str, str], *arguments: Any) -> None:
    tether()  # before imports that take seconds
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    module, function = name
    getattr(import_module(module), function)(*arguments)
