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
from mmap import ACCESS_READ, mmap
from pathlib import Path

import h5py
import numpy as np

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
    """Content of a file: data sets and text attributes by name; `names` are the top-level names.

    Data sets that were requested as `compact` are in `compact`, not in `arrays`.
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
        chosen: dict[str, h5py.Dataset] = {}
        for name in names:
            with _errors_of(f"{where}: {name}"):
                if (dataset := _find(file, name)) is not None:
                    chosen[name] = dataset
        limit = _half_of_memory() if limit is None else limit
        room = _check_sizes(chosen, where=where, limit=limit, compact=compact)
        arrays, pieced = {}, {}
        for name, dataset in chosen.items():
            with _errors_of(f"{where}: {name}"):
                if name in compact and dataset.size:
                    pieced[name] = _in_pieces(dataset, memory, room)
                    room -= 0 if memory == "mapped" else pieced[name].nbytes
                else:
                    arrays[name] = np.empty(dataset.shape, dataset.dtype)
                    if dataset.size:  # a third faster than `dataset[()]`
                        dataset.id.read(h5py.h5s.ALL, h5py.h5s.ALL, arrays[name])
        texts = {}
        if attributes:
            _check_heaps(path)
        written = h5py.AttributeManager(file)
        for name in attributes:
            with _errors_of(f"{where}: attribute {name}"):
                if name in written:
                    texts[name] = _text(written, name)
        return Content(arrays=arrays, attributes=texts, names=list(file), compact=pieced)


def _step(dataset: h5py.Dataset) -> int:
    """Number of events in a piece of whole chunks, so that no chunk is decompressed twice."""
    whole = int(dataset.chunks[0]) if dataset.chunks else 1
    return whole * max(1, PIECE // whole)


def _in_pieces(dataset: h5py.Dataset, memory: str, limit: int) -> Compact:
    """Read a data set in pieces; in memory it may take `limit` bytes."""
    step = _step(dataset)
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


def _find(file: h5py.File, name: str) -> h5py.Dataset | None:
    """The data set at the path `name`; None if there is none."""
    item: object = file.id
    for part in name.encode().split(b"/"):
        if not isinstance(item, h5py.h5g.GroupID) or not item.links.exists(part):
            return None
        if item.links.get_info(part).type != h5py.h5l.TYPE_HARD:
            raise _RefusedError(f"{part.decode()} is a link, expected data in the file itself")
        item = h5py.h5o.open(item, part)
    if not isinstance(item, h5py.h5d.DatasetID):
        kind = "group" if isinstance(item, h5py.h5g.GroupID) else "named type"
        raise _RefusedError(f"found a {kind}, expected a data set")
    dataset = h5py.Dataset(item, readonly=True)
    if dataset.is_virtual or dataset.external:
        raise _RefusedError("its values are in other files, expected them in the file itself")
    if dataset.shape is None:
        raise _RefusedError("found no values, expected numbers")
    if dataset.dtype.kind not in NUMBERS:
        raise _RefusedError(f"found type {dataset.dtype!s:.60}, expected numbers")
    return dataset


def _check_sizes(
    chosen: Mapping[str, h5py.Dataset], *, where: str, limit: int, compact: Collection[str]
) -> int:
    """The bytes that are left for what is `compact`.

    Raises DataError if data sets, or their decompressed chunks, are larger than `limit` bytes.
    """
    sizes: dict[str, int] = {}
    for name, dataset in chosen.items():
        with _errors_of(f"{where}: {name}"):
            size = math.prod(dataset.shape) * int(dataset.dtype.itemsize)
            if name in compact and size <= SPARSER * limit:
                size = size // max(len(dataset), 1) * _step(dataset)
            sizes[name] = size + _chunk_size(dataset)
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


def _chunk_size(dataset: h5py.Dataset) -> int:
    """Bytes of a decompressed chunk, which must fit in memory; 0 if the data set has no chunks."""
    chunks = dataset.chunks
    return math.prod(chunks) * int(dataset.id.get_type().get_size()) if chunks else 0


def _check_chunks(dataset: h5py.Dataset, room: int) -> None:
    """Refuse chunks that may decompress to more than `room` bytes and more than they declare.

    HDF5 decompresses a chunk completely, even if its declared size is small, and it crashes on a
    chunk that is shorter than its checksum.
    """
    if not dataset.chunks:
        return
    pieces = zip(dataset.shape, dataset.chunks, strict=True)
    if (count := math.prod(-(-whole // piece) for whole, piece in pieces)) > MOST_CHUNKS:
        raise _RefusedError(f"declares {count:,} chunks, at most {MOST_CHUNKS:,} are read")
    settings = dataset.id.get_create_plist()
    filters = [settings.get_filter(place)[0] for place in range(settings.get_nfilters())]
    if unknown := [code for code in filters if code not in GROWTH]:
        raise _RefusedError(f"found filter {unknown[0]}, expected gzip, lzf, shuffle or fletcher32")

    def applied(chunk: h5py.h5d.StoreInfo) -> list[int]:
        skipped = chunk.filter_mask
        return [code for place, code in enumerate(filters) if not skipped >> place & 1]

    short: list[h5py.h5d.StoreInfo] = []
    large: list[h5py.h5d.StoreInfo] = []

    def look(chunk: h5py.h5d.StoreInfo) -> None:
        if chunk.size <= CHECKSUM:
            short.append(chunk)
        if chunk.size * math.prod(GROWTH[code] for code in applied(chunk)) > room:
            large.append(chunk)

    dataset.id.chunk_iter(look)
    if short and h5py.h5z.FILTER_FLETCHER32 in filters:
        raise _RefusedError(f"damaged: a chunk of {short[0].size} bytes with its checksum")
    for chunk in large:
        size = _chunk_size(dataset)
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


def _text(attributes: h5py.AttributeManager, name: str) -> str:
    """An attribute that is a single text; arrays are not read, as they may not fit in memory."""
    value = attributes[name] if attributes.get_id(name).shape == () else None
    if not isinstance(value, str) or not value.isprintable() or len(value) > LONGEST_TEXT:
        raise _RefusedError(f"expected printable text of at most {LONGEST_TEXT} characters")
    return value


def _half_of_memory() -> int:
    """Half of the machine's memory [byte]."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _told(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"
