"""Events in an HDF5 file. Imports no PyTorch."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any, final

import h5py
import numpy as np

from msnas.data.source import Source
from msnas.errors import DataError


@final
class EventFile(Source):
    """The data sets at the top level of an HDF5 file, see docs/data.md.

    Raises DataError when `file` is missing or is not a readable HDF5 file.
    """

    def __init__(self, *, file: str) -> None:
        self.path = Path(file)
        if not self.path.is_file():
            raise DataError(
                f"data.file: {file} not found (looked in {Path.cwd()}); "
                "expected an HDF5 file as docs/data.md describes"
            )

    def load(self) -> dict[str, np.ndarray]:
        """Every data set of the file."""
        try:
            with h5py.File(self.path, "r") as file:
                return {
                    name: np.asarray(item[()])
                    for name, item in file.items()
                    if isinstance(item, h5py.Dataset)
                }
        except OSError as error:
            raise DataError(
                f"data.file: {self.path} is not a readable HDF5 file ({error})"
            ) from error

    @cached_property
    def sha256(self) -> str:
        """Checksum of the file's bytes."""
        checksum = hashlib.sha256()
        with self.path.open("rb") as file:
            while block := file.read(1 << 20):
                checksum.update(block)
        return checksum.hexdigest()

    def identity(self) -> dict[str, Any]:
        """The checksum: the same events under another name are the same events."""
        return {"sha256": self.sha256}
