"""A worker ends with its scan, however that ends. Imports no PyTorch."""

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
"""Linux only."""
LOOK_EVERY = 1.0
"""Seconds between two looks at the scan's process."""

_fastened: set[Tether] = set()


@final
@dataclass(frozen=True)
class Tether:
    """Ties the process that calls it to the process of a scan; one on another machine stays free.

    `place` is the machine, since it was started, and the container; `began` tells the process from
    a later one of the same `pid`. A thread looks: what Linux can send at a parent's death comes
    when the thread ends that made the worker, and a worker need not be the scan's own child.
    """

    place: str
    pid: int
    began: str | None

    @classmethod
    def to_this_process(cls) -> Tether:
        """What the workers of this process are given."""
        return cls(place=_place(), pid=os.getpid(), began=_began(os.getpid()))

    def __call__(self) -> None:
        """From now on this process ends within a second or two of the scan, without a word."""
        if self.pid == os.getpid() or self.place != _place() or self in _fastened:
            return
        _fastened.add(self)
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            # one of Python's own: in the place of the default Lightning only takes a note
            signal.signal(signal.SIGTERM, _end)
        threading.Thread(target=self._watch, name="tether", daemon=True).start()

    @property
    def holds(self) -> bool:
        """Whether the scan's process is there, and the same."""
        return _began(self.pid) == self.began

    def _watch(self) -> None:
        while self.holds:
            time.sleep(LOOK_EVERY)
        os._exit(1)


def _end(number: int, _: Any) -> None:
    os._exit(128 + number)


def _place() -> str:
    parts = [os.uname().nodename]
    with suppress(OSError):  # elsewhere the name has to do
        parts.append((PROC / "sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink(PROC / "self/ns/pid"))
    return " ".join(parts)


def _began(pid: int) -> str | None:
    """When a process began, in the system's own count ("" where it has none); None if it ended.

    One that has ended stays listed, as a zombie, until its parent asks how.
    """
    if not (PROC / "self/stat").exists():
        try:
            os.kill(pid, 0)
        except OSError:  # none, or somebody else's by now
            return None
        return ""
    try:
        # the name, in brackets, may hold anything; the state is the third field
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in ("Z", "X") else fields[19]
