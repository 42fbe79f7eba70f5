"""What Ctrl-C and SIGTERM do to a command. Imports nothing heavy: a command imports it first."""

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

    Without an exception: an import turns one into another, a destructor or a library swallows it.
    A run survives this as it survives kill -9. What the process was told to ignore, it ignores.
    """
    _take(_end)
    atexit.register(_end_of_unwinding)  # the first that is registered comes last


@contextmanager
def with_workers() -> Iterator[None]:
    """Inside, the first signal unwinds before the process ends, so that an engine ends its workers.

    Processes begun inside do not hear Ctrl-C, which a terminal sends to them as well. In this one
    another thread must be there to take it.
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
    """Say it below the last table; and with our status: Ray makes it another."""
    if _unwinding:
        _end(_unwinding[0], None)


def _end(number: int, _: FrameType | None) -> None:
    with suppress(Exception):  # it may be in the middle of writing
        sys.stdout.flush()
    _say()
    os._exit(128 + number)


def _say() -> None:
    with suppress(OSError):  # nobody listens any more
        if os.isatty(1):
            os.write(1, SHOW_CURSOR)  # a live table hides it
        os.write(2, f"{STOPPED}\n".encode())
