"""Ends a worker process when the process of its scan ends. Imports no PyTorch."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

PROC = Path("/proc")
"""The kernel's files on processes; Linux only."""
LOOK_EVERY = 1.0
"""Seconds between two checks of the scan's process."""

_fastened: set[Tether] = set()


@final
@dataclass(frozen=True)
class Tether:
    """Ties the calling process to the process of a scan; on another machine it does nothing.

    `place` identifies the machine, its boot and the container; `began`, a start time, tells the
    process from a later one of the same `pid`. A thread polls, as Linux's signal at a parent's
    death comes when the thread that made the worker ends, and the scan need not be the parent.
    """

    place: str
    pid: int
    began: str | None

    @classmethod
    def to_this_process(cls) -> Tether:
        """The tether of this process, to be given to its workers."""
        return cls(place=_place(), pid=os.getpid(), began=_began(os.getpid()))

    def __call__(self) -> None:
        """From now on this process ends silently, within a second or two after the scan."""
        if self.pid == os.getpid() or self.place != _place() or self in _fastened:
            return
        _fastened.add(self)
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            # Lightning would replace the default handler by one that only records the signal
            signal.signal(signal.SIGTERM, _end)
        threading.Thread(target=self._watch, name="tether", daemon=True).start()

    @property
    def holds(self) -> bool:
        """Whether the scan's process still runs."""
        return _began(self.pid) == self.began

    def _watch(self) -> None:
        while self.holds:
            time.sleep(LOOK_EVERY)
        os._exit(1)


def _end(number: int, _: Any) -> None:
    os._exit(128 + number)


def _place() -> str:
    parts = [os.uname().nodename]
    with suppress(OSError):  # without Linux's /proc the host's name has to do
        parts.append((PROC / "sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink(PROC / "self/ns/pid"))
    return " ".join(parts)


def _began(pid: int) -> str | None:
    """Start time of a process, in clock ticks ("" without /proc); None if the process has ended.

    A process that has ended stays listed as a zombie until its parent reads its exit status.
    """
    if not (PROC / "self/stat").exists():
        try:
            os.kill(pid, 0)
        except OSError:  # no such process, or now a process of another user
            return None
        return ""
    try:
        # the name, in brackets, may hold anything; the state is the third field
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in ("Z", "X") else fields[19]
