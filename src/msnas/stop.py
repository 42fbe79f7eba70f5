"""Handles Ctrl-C and SIGTERM. Imports nothing heavy: a command imports this module first."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

STOPPED = "stopped: nothing is lost, the same command goes on from the last epoch"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = b"\x1b[?25h\n"


_unwinding: list[int] = []


def stop_at_signals() -> None:
    """From now on a signal ends this process at once, with one line and status 128 + its number.

    It raises no exception, which an import would change, a destructor or a library swallow. A run
    survives this as it survives kill -9. A signal that the process ignores stays ignored.
    """
    _take(_end)
    atexit.register(_end_of_unwinding)  # registered first, called last


@contextmanager
def with_workers() -> Iterator[None]:
    """Inside, the first signal unwinds before the process ends, so that an engine ends its workers.

    Processes begun inside do not receive Ctrl-C, which a terminal sends to them as well. In this
    process another thread must be there to receive it.
    """
    _take(_unwind)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        _take(_end)


def _take(handler: signal._HANDLER) -> None:
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _unwind(number: int, _: FrameType | None) -> None:
    _take(_end)
    _unwinding.append(number)
    raise SystemExit(128 + number)


def _end_of_unwinding() -> None:
    """Print the message below the last table, and end with our status: Ray would change it."""
    if _unwinding:
        _end(_unwinding[0], None)


def _end(number: int, _: FrameType | None) -> None:
    with suppress(Exception):  # the process may be in the middle of writing
        sys.stdout.flush()
    _say()
    os._exit(128 + number)


def _say() -> None:
    with suppress(OSError):  # the terminal may be gone
        if os.isatty(1):
            os.write(1, SHOW_CURSOR)  # a live table hides it
        os.write(2, f"{STOPPED}\n".encode())
