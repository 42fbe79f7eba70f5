"""Work that other processes do while this one goes on. Imports nothing heavy."""

from __future__ import annotations

import gc
import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pickle import loads
from typing import Any

from msnas.scan.tether import Tether

MOST = 4
"""Most processes: there is much that this process alone can do."""

SHARE = 100
"""Most things that are sent to a process at once."""

Begin = Callable[..., Callable[[], Any]]
"""Begins `function(*arguments)` and returns what waits for its result; the simplest: `partial`."""


@contextmanager
def elsewhere() -> Iterator[Begin]:
    """Inside, other processes do what is begun: as many as there are cores, at most MOST.

    They are forks of this process, as new processes would take seconds to import what it has
    imported; so there are none if it has other threads, whose locks a fork would never see
    released, and none but on Linux. With none, or with one core, this process does the work, and so
    it does whatever another did not, be it that the other was ended or that the work cannot be sent
    there: what it raises then is the error of the work itself.
    """
    from joblib import cpu_count  # knows the limits of a container, too
    from joblib.externals.cloudpickle import dumps  # functions inside functions as well

    count = min(int(cpu_count()), MOST)
    if count < 2 or sys.platform != "linux" or threading.active_count() > 1:
        yield partial
        return
    others = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(
        count,
        mp_context=multiprocessing.get_context("fork"),
        initializer=_start,
        initargs=(Tether.to_this_process(),),
    )
    # a terminal sends Ctrl-C to all processes, but ends this one alone
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        executor.submit(int)  # starts them
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    own = set(multiprocessing.active_children()) - others

    def begin(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        try:
            sent = executor.submit(_do, dumps((function, arguments)))
        except Exception:
            return partial(function, *arguments)

        def waiting() -> Any:
            try:
                return sent.result()
            except Exception:
                return function(*arguments)

        return waiting

    try:
        yield begin
    except BaseException:
        for process in own:
            process.kill()  # Ctrl-C waits for no work
        raise
    finally:
        executor.shutdown()


def _start(tether: Tether) -> None:
    gc.freeze()  # it need not look at what was there before
    tether()


def _do(work: bytes) -> Any:
    function, arguments = loads(work)
    return function(*arguments)


def shares(things: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """The things in their order, at most SHARE at once."""
    return (things[start : start + SHARE] for start in range(0, len(things), SHARE))
