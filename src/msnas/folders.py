"""Folders that other processes change at the same time."""

from __future__ import annotations

import errno
from pathlib import Path

GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
"""No such folder, or none any more; the last is a network disk's word for it."""


def entries(folder: Path) -> list[Path]:
    """What is in `folder` now, sorted; nothing if it is gone, or was never there.

    `Path.glob` raises where a folder below vanishes meanwhile. What is listed may vanish next.
    """
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        if error.errno in GONE:
            return []
        raise
