"""Reads arrays from an untrusted HDF5 file. Imports no PyTorch.

msnas reads every HDF5 file by this module. A file may be damaged, may declare more data than fit in
memory, or may point to other files, whose content its checksum does not cover.
"""

from __future__ import annotations

import math
import os
import re
import struct
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5s

from msnas.data.checks import NUMBERS
from msnas.data.compact import PIECE, Compact, Growing
from msnas.errors import DataError, MsnasError

LZF = 32000
"""HDF5's number of the compression filter that h5py calls lzf."""

GROWTH = {
    h5py.h5z.FILTER_SHUFFLE: 1,
    h5py.h5z.FILTER_FLETCHER32: 1,
    h5py.h5z.FILTER_DEFLATE: 1032,
    LZF: 90,
}
"""Filters that are accepted, and by which factor undoing a filter can enlarge a chunk at most."""

CHECKSUM = 4
"""Bytes of a fletcher32 checksum."""

SPARSER = 8
"""How many times the limit a data set read in pieces may declare: most of it may be zero."""

MOST_CHUNKS = 10_000_000
"""Most chunks of a data set: each chunk takes microseconds, even an empty one."""

LONGEST_TEXT = 200
"""Most characters of a text attribute, and of a quoted error message of HDF5."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """Content of a file: data sets and text attributes by name.

    `names` are the top-level names in the file if a requested data set is absent. Data sets that
    were requested as `compact` are in `compact`, not in `arrays`.
    """

    arrays: Mapping[str, np.ndarray]
    attributes: Mapping[str, str]
    names: Collection[str]
    compact: Mapping[str, Compact] = field(default_factory=dict)


def read_hdf5(
    path: Path,
    names: Collection[str],
    *,
    where: str,
    attributes: Collection[str] = (),
    limit: int | None = None,
    compact: Collection[str] = (),
    memory: str = "plain",
) -> Content:
    """Read data sets such as `jet` or `inputs/jet`, and text attributes; absent ones are left out.

    A data set must be in the file itself (no link, no virtual data set, no external storage) and
    hold numbers of a fixed size. All data sets together may take `limit` bytes (by default half of
    the machine's memory), which is checked before reading. Data sets in `compact` are read piece by
    piece and stored as `memory` says (see `Growing`): such a data set may declare SPARSER times the
    limit, as long as it is stored in less. Other content of the file is ignored.

    Raises DataError, which begins with `where` and names the data set, for any other data set, and
    for a file that is damaged or not an HDF5 file.
    """
    with _errors_of(where), h5py.File(path, "r") as file:
        chosen: dict[str, _Declared] = {}
        for name in names:
            with _errors_of(f"{where}: {name}"):
                if (dataset := _find(file.id, name)) is not None:
                    chosen[name] = dataset
        limit = _half_of_memory() if limit is None else limit
        room = _check_sizes(chosen, where=where, limit=limit, compact=compact)
        arrays, pieced = {}, {}
        for name, dataset in chosen.items():
            with _errors_of(f"{where}: {name}"):
                if name in compact and dataset.count:
                    pieced[name] = _in_pieces(dataset, memory, room)
                    room -= 0 if memory == "mapped" else pieced[name].nbytes
                else:
                    arrays[name] = dataset.read()
        texts = {}
        if attributes:
            _check_heaps(path)
        for name in attributes:
            with _errors_of(f"{where}: attribute {name}"):
                if h5a.exists(file.id, name.encode()):
                    texts[name] = _text(h5a.open(file.id, name.encode()))
        absent = any(name not in chosen for name in names)
        return Content(
            arrays=arrays,
            attributes=texts,
            compact=pieced,
            names=list(file) if absent else [*chosen],
        )


@dataclass(frozen=True, kw_only=True)
class _Declared:
    """A data set as the file declares it; `chunks` is None where it has none.

    It is read by the lower level of h5py: a small file takes two thirds of the time.
    """

    id: h5d.DatasetID
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...] | None
    filters: list[int]

    @property
    def count(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def step(self) -> int:
        """Number of events in a piece of whole chunks, so that no chunk is decompressed twice."""
        whole = int(self.chunks[0]) if self.chunks else 1
        return whole * max(1, PIECE // whole)

    @cached_property
    def chunk_size(self) -> int:
        """Bytes of a decompressed chunk, which must fit in memory; 0 if it has no chunks."""
        return math.prod(self.chunks) * int(self.id.get_type().get_size()) if self.chunks else 0

    def read(self) -> np.ndarray:
        """All its numbers."""
        array = np.zeros(self.shape, self.dtype)
        if array.size:
            self.id.read(h5s.ALL, h5s.ALL, array)
        return array


def _in_pieces(declared: _Declared, memory: str, limit: int) -> Compact:
    """Read a data set in pieces; in memory it may take `limit` bytes."""
    dataset, step = h5py.Dataset(declared.id, readonly=True), declared.step
    array = Growing(len(dataset), memory, limit=limit)
    for start in range(0, len(dataset), step):
        try:
            array.add(np.asarray(dataset[start : start + step]))
        except DataError as error:
            raise _RefusedError(error) from None
    return array.done()


class _RefusedError(Exception):
    """The reason for not reading a data set or attribute."""


@contextmanager
def _errors_of(what: str) -> Iterator[None]:
    """Turn any error into a DataError that begins with `what`."""
    try:
        yield
    except MsnasError:
        raise
    except _RefusedError as refused:
        raise DataError(f"{what}: {refused}") from None
    except Exception as error:  # h5py raises nearly any type of exception on a damaged file
        said = "".join(one if one.isprintable() else " " for one in str(error))
        reason = " ".join(f"{type(error).__name__}: {said}".split())[:LONGEST_TEXT]
        raise DataError(f"{what} cannot be read as HDF5 ({reason})") from error


def _find(file: h5g.GroupID, name: str) -> _Declared | None:
    """The data set at the path `name`; None if there is none."""
    item: object = file
    for part in name.split("/"):
        if not isinstance(item, h5g.GroupID) or not item.links.exists(part.encode()):
            return None
        if item.links.get_info(part.encode()).type != h5l.TYPE_HARD:
            raise _RefusedError(f"{part} is a link, expected data in the file itself")
        item = h5o.open(item, part.encode())
    if not isinstance(item, h5d.DatasetID):
        kind = "group" if isinstance(item, h5g.GroupID) else "named type"
        raise _RefusedError(f"found a {kind}, expected a data set")
    settings = item.get_create_plist()
    layout = settings.get_layout()
    if layout == h5d.VIRTUAL or settings.get_external_count():
        raise _RefusedError("its values are in other files, expected them in the file itself")
    if (shape := item.shape) is None:
        raise _RefusedError("found no values, expected numbers")
    if (dtype := item.dtype).kind not in NUMBERS:
        raise _RefusedError(f"found type {dtype!s:.60}, expected numbers")
    return _Declared(
        id=item,
        shape=shape,
        dtype=dtype,
        chunks=settings.get_chunk() if layout == h5d.CHUNKED else None,
        filters=[settings.get_filter(place)[0] for place in range(settings.get_nfilters())],
    )


def _check_sizes(
    chosen: Mapping[str, _Declared], *, where: str, limit: int, compact: Collection[str]
) -> int:
    """The bytes that are left for what is `compact`.

    Raises DataError if data sets, or their decompressed chunks, are larger than `limit` bytes.
    """
    sizes: dict[str, int] = {}
    for name, dataset in chosen.items():
        with _errors_of(f"{where}: {name}"):
            size = dataset.count * dataset.dtype.itemsize
            if name in compact and size <= SPARSER * limit:
                size = size // max(dataset.shape[0], 1) * dataset.step
            sizes[name] = size + dataset.chunk_size
    if (total := sum(sizes.values())) > limit:
        name = max(sizes, key=lambda one: sizes[one])
        others = f", {_told(total)} with the others" if len(sizes) > 1 else ""
        raise DataError(
            f"{where}: {name}: declares {_told(sizes[name])}{others}, "
            f"more than the {_told(limit)} that are read at most"
        )
    for name, dataset in chosen.items():
        with _errors_of(f"{where}: {name}"):
            _check_chunks(dataset, limit - total)
    return limit - total


def _check_chunks(dataset: _Declared, room: int) -> None:
    """Refuse chunks that may decompress to more than `room` bytes and more than they declare.

    HDF5 decompresses a chunk completely, even if its declared size is small, and it crashes on a
    chunk that is shorter than its checksum.
    """
    if not dataset.chunks:
        return
    pieces = zip(dataset.shape, dataset.chunks, strict=True)
    if (count := math.prod(-(-whole // piece) for whole, piece in pieces)) > MOST_CHUNKS:
        raise _RefusedError(f"declares {count:,} chunks, at most {MOST_CHUNKS:,} are read")
    filters = dataset.filters
    if unknown := [code for code in filters if code not in GROWTH]:
        raise _RefusedError(f"found filter {unknown[0]}, expected gzip, lzf, shuffle or fletcher32")

    def applied(chunk: h5d.StoreInfo) -> list[int]:
        skipped = chunk.filter_mask
        return [code for place, code in enumerate(filters) if not skipped >> place & 1]

    short: list[h5d.StoreInfo] = []
    large: list[h5d.StoreInfo] = []

    def look(chunk: h5d.StoreInfo) -> None:
        if chunk.size <= CHECKSUM:
            short.append(chunk)
        if chunk.size * math.prod(GROWTH[code] for code in applied(chunk)) > room:
            large.append(chunk)

    dataset.id.chunk_iter(look)
    if short and h5py.h5z.FILTER_FLETCHER32 in filters:
        raise _RefusedError(f"damaged: a chunk of {short[0].size} bytes with its checksum")
    size = dataset.chunk_size
    for chunk in large:
        outer = [code for code in applied(chunk) if code != h5py.h5z.FILTER_FLETCHER32]
        gzip_alone = outer[-1:] == [h5py.h5z.FILTER_DEFLATE] and (
            math.prod(GROWTH[code] for code in outer) == GROWTH[h5py.h5z.FILTER_DEFLATE]
        )
        if gzip_alone:
            _, stored = dataset.id.read_direct_chunk(chunk.chunk_offset)
            if len(zlib.decompressobj().decompress(stored, size + 1)) <= size:
                continue
        raise _RefusedError(
            f"a chunk of {chunk.size:,} bytes, compressed, may hold far more than the "
            f"{size:,} bytes it declares"
        )


def _check_heaps(path: Path) -> None:
    """Refuse a file whose text heaps are damaged: HDF5 would loop over them for ever.

    A heap of texts begins with GCOL, its version and its size. Each entry holds its number and
    size; HDF5 steps from entry to entry and does not notice a step of 0.
    """
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        for heap in re.finditer(b"GCOL\x01", content):
            place = heap.start() + 16
            (size,) = struct.unpack_from("<Q", content, heap.start() + 8)
            end = heap.start() + size
            while place + 16 <= end:
                number, size = struct.unpack_from("<H6xQ", content, place)
                step = 16 + -(-size // 8) * 8 if number else size
                if not 16 <= step <= end - place:
                    raise _RefusedError("damaged: its texts do not fit together")
                place += step


def _text(attribute: h5a.AttrID) -> str:
    """An attribute that is a single text; arrays are not read, as they may not fit in memory."""
    dtype = attribute.dtype
    kind = h5py.check_string_dtype(dtype)
    if attribute.shape == () and kind is not None and kind.length is None:
        value = np.zeros((), dtype)
        attribute.read(value)
        text: str = value.item().decode("utf-8", "surrogateescape")
        if text.isprintable() and len(text) <= LONGEST_TEXT:
            return text
    raise _RefusedError(f"expected printable text of at most {LONGEST_TEXT} characters")


def _half_of_memory() -> int:
    """Half of the machine's memory [byte]."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _told(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"
