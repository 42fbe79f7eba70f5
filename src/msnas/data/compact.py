"""Arrays of events stored in less memory than their full size. Imports no PyTorch."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, final

import numpy as np

from msnas.errors import DataError, StorageError

MEMORIES = ("auto", "plain", "sparse", "mapped", "float16")
"""Allowed values of the setting `data.memory`; see `Growing`."""

PIECE = 4096
"""Number of events in a piece of an array that is processed at a time."""

LARGE = 1 << 26
"""Bytes of an array from which on `auto` checks whether it is mostly zero."""

FILLED = 1 / 8
"""Largest share of nonzero numbers with which `auto` considers an array mostly zero."""


@final
class Sparse:
    """An array [event, ...] stored as its nonzero numbers and their places.

    `array[rows]`, with a slice or integers, is equal to these rows of the full array, bit by bit.
    """

    def __init__(
        self, starts: np.ndarray, places: np.ndarray, values: np.ndarray, shape: Sequence[int]
    ) -> None:
        self.starts = starts
        self.places = places
        self.values = values
        self.shape = (len(starts) - 1, *shape)
        self.dtype = values.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the sparse array takes."""
        return self.starts.nbytes + self.places.nbytes + self.values.nbytes

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        first, last = self.starts[:-1][rows], self.starts[1:][rows]
        counts = last - first
        size = math.prod(self.shape[1:])
        found = np.zeros((len(counts), *self.shape[1:]), self.dtype)
        entries = np.repeat(last - np.cumsum(counts), counts)
        entries += np.arange(len(entries))
        into = np.repeat(np.arange(len(counts)) * size, counts)
        into += self.places[entries]
        found.reshape(-1)[into] = self.values[entries]
        return found

    @classmethod
    def joined(cls, pieces: Sequence[Sparse]) -> Sparse:
        """The sparse array of all events of the pieces, one piece after the other."""
        counts = np.concatenate([np.diff(one.starts) for one in pieces])
        return cls(
            np.concatenate([[0], np.cumsum(counts)]),
            np.concatenate([one.places for one in pieces]),
            np.concatenate([one.values for one in pieces]),
            pieces[0].shape[1:],
        )

    @classmethod
    def of(cls, array: np.ndarray) -> Sparse:
        """The sparse form of an array; a negative zero, whose bits are not all 0, is stored."""
        flat = np.ascontiguousarray(array).reshape(len(array), math.prod(array.shape[1:]))
        row, place = np.nonzero(flat.view(f"u{flat.itemsize}"))
        starts = np.searchsorted(row, np.arange(len(array) + 1))
        kind = np.uint16 if flat.shape[1] <= 1 << 16 else np.int64
        return cls(starts, place.astype(kind), flat[row, place], array.shape[1:])


Compact = np.ndarray | Sparse
"""An array [event, ...], plain or sparse, from which rows (events) can be taken."""


def in_pieces(array: Compact) -> Iterator[np.ndarray]:
    """The array in pieces of PIECE events."""
    for start in range(0, len(array), PIECE):
        yield array[start : start + PIECE]


@final
class Growing:
    """An array of `count` events, built piece by piece; `memory` says how it is stored.

    `plain` and `float16` are arrays in memory, `mapped` is an array in an unnamed temporary file.
    `auto` means `sparse` for a large array whose first piece is mostly zero, else `plain`. An array
    in memory may take `limit` bytes.
    """

    def __init__(self, count: int, memory: str, *, limit: float = math.inf) -> None:
        self._count = count
        self._memory = memory
        self._limit = limit
        self._stored = 0
        self._filled = 0
        self._whole: np.ndarray | None = None
        self._pieces: list[Sparse] = []

    def add(self, piece: np.ndarray) -> None:
        """Append some events.

        Raises StorageError if there is no room on the disk, DataError beyond the limit.
        """
        if self._whole is None and not self._pieces:
            self._memory = _chosen(self._memory, self._count, piece)
            if self._memory != "sparse":
                shape = (self._count, *piece.shape[1:])
                if self._memory != "mapped":
                    self._store(math.prod(shape) * piece.itemsize)
                self._whole = _room(self._memory, shape, piece.dtype)
        if self._whole is None:
            self._pieces.append(Sparse.of(piece))
            self._store(self._pieces[-1].nbytes)
        else:
            self._whole[self._filled : self._filled + len(piece)] = piece
        self._filled += len(piece)

    def _store(self, size: int) -> None:
        self._stored += size
        if self._stored > self._limit:
            raise DataError(
                f"data.memory: {self._memory}: more than the {self._limit / 1e9:,.1f} GB that are "
                "read at most; allowed is mapped, which keeps large arrays on the disk"
            )

    def done(self) -> Compact:
        """The complete array."""
        assert self._filled == self._count
        return Sparse.joined(self._pieces) if self._whole is None else self._whole


def _chosen(memory: str, count: int, piece: np.ndarray) -> str:
    if memory != "auto":
        return memory
    large = count * math.prod(piece.shape[1:]) * piece.itemsize >= LARGE
    return "sparse" if large and np.count_nonzero(piece) <= FILLED * piece.size else "plain"


def _room(memory: str, shape: tuple[int, ...], kind: np.dtype[Any]) -> np.ndarray:
    if memory != "mapped":
        return np.empty(shape, np.float16 if memory == "float16" else kind)
    size = math.prod(shape) * kind.itemsize
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk fails here, not later
            return np.memmap(file, kind, "r+", shape=shape)
    except OSError as error:
        raise StorageError(
            f"data.memory: mapped: no room for {size / 1e9:,.1f} GB in {folder} ({error}); "
            "TMPDIR names another folder"
        ) from error
