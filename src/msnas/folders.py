"""Folders that other processes change at the same time."""

from __future__ import annotations

import errno
from pathlib import Path

GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
"""Errors for a folder that does not exist (any more); ESTALE is that of a network disk."""


def entries(folder: Path) -> list[Path]:
    """The entries of `folder` now, sorted; empty if the folder is gone or never existed.

    `Path.glob` raises if a folder below vanishes meanwhile. A listed entry may vanish next.
    """
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        if error.errno in GONE:
            return []
        raise
