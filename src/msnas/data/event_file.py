"""Events in an HDF5 file. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np

from msnas.data.checks import check_names
from msnas.data.compact import Compact
from msnas.data.hdf5 import read_hdf5
from msnas.data.source import OPTIONAL, Source
from msnas.errors import DataError
from msnas.storage import sha256_of


@final
class EventFile(Source):
    """Events in the data sets of an HDF5 file, in the format of docs/data.md.

    Raises DataError if `file` is missing.
    """

    def __init__(self, *, file: str) -> None:
        self.path = Path(file)
        if not self.path.is_file():
            raise DataError(
                f"data.file: {file} not found (looked in {Path.cwd()}); "
                "data.file=<path> names an HDF5 file as docs/data.md describes"
            )

    def load(self, names: Collection[str]) -> dict[str, np.ndarray]:
        """The data sets `names`, and `weight` and `part` if they exist; no other is read.

        Raises DataError where `read_hdf5` does, and if one of `names` is missing.
        """
        found = self.load_compact(names, compact=(), memory="plain")
        return {name: np.asarray(array) for name, array in found.items()}

    def load_compact(
        self, names: Collection[str], *, compact: Collection[str], memory: str
    ) -> Mapping[str, Compact]:
        """The same data sets as `load`; those in `compact` are read piece by piece."""
        where = str(self.path)
        wanted = list(dict.fromkeys((*names, *OPTIONAL)))
        content = read_hdf5(self.path, wanted, where=where, compact=compact, memory=memory)
        arrays = {**content.arrays, **content.compact}
        check_names({*content.names, *arrays}, names, where=where)
        return arrays

    @cached_property
    def sha256(self) -> str:
        """SHA-256 checksum of the file; raises DataError if the file cannot be read."""
        try:
            return sha256_of(self.path)
        except OSError as error:
            raise DataError(f"data.file: {self.path} cannot be read ({error})") from error

    def identity(self) -> dict[str, Any]:
        """The file's checksum, so that a renamed or moved file has the same identity."""
        return {"sha256": self.sha256}
