"""Arrays of events in less memory than they declare. Imports no PyTorch."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, final

import numpy as np

from msnas.errors import StorageError

MEMORIES = ("auto", "plain", "sparse", "mapped", "float16")
"""What `data.memory` may be."""

PIECE = 4096
"""Events that are looked at together."""

LARGE = 1 << 26
"""Bytes from which `auto` looks whether an array is mostly zero."""

FILLED = 1 / 8
"""Share of numbers other than zero up to which `auto` takes an array for mostly zero."""


@final
class Sparse:
    """An array [event, ...] as its numbers other than zero and their places.

    `array[rows]`, with a slice or whole numbers, is what the whole array would give, bit by bit.
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
        """Bytes that it takes."""
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
        """One after the other."""
        counts = np.concatenate([np.diff(one.starts) for one in pieces])
        return cls(
            np.concatenate([[0], np.cumsum(counts)]),
            np.concatenate([one.places for one in pieces]),
            np.concatenate([one.values for one in pieces]),
            pieces[0].shape[1:],
        )

    @classmethod
    def of(cls, array: np.ndarray) -> Sparse:
        """What is not zero, in bits: a zero with a sign stays."""
        flat = np.ascontiguousarray(array).reshape(len(array), math.prod(array.shape[1:]))
        row, place = np.nonzero(flat.view(f"u{flat.itemsize}"))
        starts = np.searchsorted(row, np.arange(len(array) + 1))
        kind = np.uint16 if flat.shape[1] <= 1 << 16 else np.int64
        return cls(starts, place.astype(kind), flat[row, place], array.shape[1:])


Compact = np.ndarray | Sparse
"""An array [event, ...] of which rows can be taken."""


def in_pieces(array: Compact) -> Iterator[np.ndarray]:
    """An array some events at a time."""
    for start in range(0, len(array), PIECE):
        yield array[start : start + PIECE]


@final
class Growing:
    """An array of `count` events that is put together piece by piece, kept in a `memory`.

    `plain` and `float16` are arrays in memory, `mapped` one in a file without a name in the folder
    for temporary files. `auto` is `sparse` for a large array whose first piece is mostly zero.
    """

    def __init__(self, count: int, memory: str) -> None:
        self._count = count
        self._memory = memory
        self._filled = 0
        self._whole: np.ndarray | None = None
        self._pieces: list[Sparse] = []

    def add(self, piece: np.ndarray) -> None:
        """Append some events; raise StorageError if there is no room on the disk."""
        if self._whole is None and not self._pieces:
            self._memory = _chosen(self._memory, self._count, piece)
            if self._memory != "sparse":
                self._whole = _room(self._memory, (self._count, *piece.shape[1:]), piece.dtype)
        if self._whole is None:
            self._pieces.append(Sparse.of(piece))
        else:
            self._whole[self._filled : self._filled + len(piece)] = piece
        self._filled += len(piece)

    def done(self) -> Compact:
        """All of it."""
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
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk is told now, not by a signal
            return np.memmap(file, kind, "r+", shape=shape)
    except OSError as error:
        raise StorageError(
            f"data.memory: mapped: no room for {size / 1e9:,.1f} GB in {folder} ({error}); "
            "TMPDIR names another folder"
        ) from error
