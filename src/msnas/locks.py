"""Locks between processes. Imports no PyTorch."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from msnas.errors import BusyError, StorageError

GRACE = 0.2
"""Seconds to wait before `file_lock` says so: `is_held` takes a lock for a moment."""

NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP)
"""Errors of a disk without locks; filelock handles ENOSYS itself."""

_HOLDER = re.compile(r"(\d{1,10}) ([\w.-]{1,64}) (\d{1,11})\n", re.ASCII)
"""The content of a lock file: the last process that took it, its host, and the time."""


def _log(text: str) -> None:
    logging.getLogger("msnas").info("%s", text)


@contextmanager
def file_lock(
    path: Path, *, what: str, say: Callable[[str], None] = _log, wait: bool = True
) -> Iterator[None]:
    """Hold the lock file `path`; `say` once if another process has it, and which process.

    The file gets the rights that the umask gives. Raises StorageError if it cannot be opened, and
    BusyError, unless it is to `wait`, if another process has it.
    """
    lock = FileLock(path)
    try:
        try:
            lock.acquire(timeout=GRACE)
        except Timeout as error:
            if not wait:
                raise BusyError(f"another process is {what}{_holder(path)}") from error
            say(f"waiting: another process is {what}{_holder(path)}")
            lock.acquire()
    except OSError as error:
        raise _no_access(path, error) from error
    try:
        if isinstance(lock, FileLock):  # not a SoftFileLock, which needs the file's content
            _sign(path)
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether a process holds the lock file `path` now; needs only the right to read it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _no_access(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        # held; or a disk without locks, where filelock keeps the file only while it is held
        return error.errno not in NO_LOCKS
    finally:
        os.close(descriptor)
    return False


def _no_access(path: Path, error: OSError) -> StorageError:
    if error.errno in NO_LOCKS:
        return StorageError(
            f"lock file {path}: this disk refuses locks ({error.strerror}), without which two "
            "processes could write the same run at once; choose a folder on another disk: "
            "output=<folder>"
        )
    return StorageError(
        f"lock file {path} cannot be opened ({error.strerror or error}); if it is somebody else's, "
        "they can share it (chmod g+rw, umask 002); or choose another folder: output=<folder>"
    )


def _sign(path: Path) -> None:
    with suppress(OSError):  # the disk may be full: the lock holds all the same
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            if os.fstat(descriptor).st_nlink == 1:  # else the file has another name, too
                os.ftruncate(descriptor, 0)
                os.write(
                    descriptor, f"{os.getpid()} {os.uname().nodename} {time.time():.0f}\n".encode()
                )
        finally:
            os.close(descriptor)


def _holder(path: Path) -> str:
    """Who holds the lock, if the file says so; its content is not trusted."""
    try:
        with path.open("rb") as file:
            text = file.read(100).decode("ascii", errors="replace")
    except OSError:
        return ""
    if not (found := _HOLDER.fullmatch(text)):
        return ""
    pid, host, seconds = found.groups()
    since = time.localtime(int(seconds))
    today = since[:3] == time.localtime()[:3]
    return f" (pid {pid} on {host}, since {time.strftime('%H:%M' if today else '%F %H:%M', since)})"
