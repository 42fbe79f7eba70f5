"""Arrays from an HDF5 file of which nothing is known yet. Imports no PyTorch.

Every HDF5 file that msnas reads is read here: a file may be damaged, may declare more than fits in
memory, and may point to other files, whose content no checksum of it covers.
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
"""Number of the filter that h5py calls lzf."""

GROWTH = {
    h5py.h5z.FILTER_SHUFFLE: 1,
    h5py.h5z.FILTER_FLETCHER32: 1,
    h5py.h5z.FILTER_DEFLATE: 1032,
    LZF: 90,
}
"""Filters that are undone, and how many times as large they make a chunk at most."""

CHECKSUM = 4
"""Bytes of a checksum of fletcher32."""

MOST_CHUNKS = 10_000_000
"""Chunks of a data set: each takes microseconds, also where nothing is stored."""

LONGEST_TEXT = 200
"""Characters of an attribute, and of what HDF5 says of an error."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """What was read: data sets and text attributes by name; `names` is the file's top level.

    Data sets that were asked for `compact` are there, not among `arrays`.
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

    A data set is read if it is in the file itself (no link, nothing virtual, no external storage)
    and holds numbers of a fixed size. All of them together may take `limit` bytes (by default half
    of the machine's memory), which is checked before any is read. Those in `compact` are read piece
    by piece and kept in a `memory` (see `Growing`). What else is in the file does not matter.

    Raises DataError, which begins with `where` and names the data set, for one that is not so, and
    for a file that is damaged or no HDF5 file.
    """
    with _errors_of(where), h5py.File(path, "r") as file:
        chosen: dict[str, h5py.Dataset] = {}
        for name in names:
            with _errors_of(f"{where}: {name}"):
                if (dataset := _find(file, name)) is not None:
                    chosen[name] = dataset
        _check_sizes(chosen, where=where, limit=_half_of_memory() if limit is None else limit)
        arrays, pieced = {}, {}
        for name, dataset in chosen.items():
            with _errors_of(f"{where}: {name}"):
                if name in compact and dataset.size:
                    pieced[name] = _in_pieces(dataset, memory)
                else:
                    arrays[name] = np.asarray(dataset[()])
        texts = {}
        if attributes:
            _check_heaps(path)
        for name in attributes:
            with _errors_of(f"{where}: attribute {name}"):
                if name in file.attrs:
                    texts[name] = _text(file.attrs, name)
        return Content(arrays=arrays, attributes=texts, names=list(file), compact=pieced)


def _in_pieces(dataset: h5py.Dataset, memory: str) -> Compact:
    """A data set read in pieces of whole chunks, so that none is inflated twice."""
    whole = dataset.chunks[0] if dataset.chunks else 1
    step = whole * max(1, PIECE // whole)
    array = Growing(len(dataset), memory)
    for start in range(0, len(dataset), step):
        array.add(np.asarray(dataset[start : start + step]))
    return array.done()


class _RefusedError(Exception):
    """Why something is not read."""


@contextmanager
def _errors_of(what: str) -> Iterator[None]:
    """Raise whatever goes wrong as DataError that begins with `what`."""
    try:
        yield
    except MsnasError:
        raise
    except _RefusedError as refused:
        raise DataError(f"{what}: {refused}") from None
    except Exception as error:  # a damaged file lets h5py raise nearly any of them
        said = "".join(one if one.isprintable() else " " for one in str(error))
        reason = " ".join(f"{type(error).__name__}: {said}".split())[:LONGEST_TEXT]
        raise DataError(f"{what} cannot be read as HDF5 ({reason})") from error


def _find(file: h5py.File, name: str) -> h5py.Dataset | None:
    """A data set by its path, if it is there."""
    item: object = file
    for part in name.split("/"):
        if not isinstance(item, h5py.Group) or not item.id.links.exists(part.encode()):
            return None
        if item.id.links.get_info(part.encode()).type != h5py.h5l.TYPE_HARD:
            raise _RefusedError(f"{part} is a link, expected data in the file itself")
        item = item[part]
    if not isinstance(item, h5py.Dataset):
        kind = "group" if isinstance(item, h5py.Group) else "named type"
        raise _RefusedError(f"found a {kind}, expected a data set")
    if item.is_virtual or item.external:
        raise _RefusedError("its values are in other files, expected them in the file itself")
    if item.shape is None:
        raise _RefusedError("found no values, expected numbers")
    if item.dtype.kind not in NUMBERS:
        raise _RefusedError(f"found type {item.dtype!s:.60}, expected numbers")
    return item


def _check_sizes(chosen: Mapping[str, h5py.Dataset], *, where: str, limit: int) -> None:
    """Raise DataError if data sets, or what their chunks inflate to, are larger than `limit`."""
    sizes = {}
    for name, dataset in chosen.items():
        with _errors_of(f"{where}: {name}"):
            sizes[name] = math.prod(dataset.shape) * dataset.dtype.itemsize + _chunk_size(dataset)
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


def _chunk_size(dataset: h5py.Dataset) -> int:
    """Bytes of a chunk, which is in memory as a whole while it is read; 0 if there are none."""
    chunks = dataset.chunks
    return math.prod(chunks) * int(dataset.id.get_type().get_size()) if chunks else 0


def _check_chunks(dataset: h5py.Dataset, room: int) -> None:
    """Refuse chunks that could inflate to more than `room` bytes and are not what they declare.

    HDF5 inflates what a chunk holds to the end, however small a chunk is declared. It does not
    survive one that is shorter than its checksum.
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
    size = _chunk_size(dataset)
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
    """Refuse a file whose texts are damaged: HDF5 would look at them for ever.

    A heap of texts begins with GCOL, version and its size. Each entry tells its number and size;
    HDF5 goes from one to the next without noticing a step of 0.
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
    """An attribute that is one text; the largest of other shapes would not fit in memory."""
    value = attributes[name] if attributes.get_id(name).shape == () else None
    if not isinstance(value, str) or not value.isprintable() or len(value) > LONGEST_TEXT:
        raise _RefusedError(f"expected printable text of at most {LONGEST_TEXT} characters")
    return value


def _half_of_memory() -> int:
    """Half of the machine's memory [byte]."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _told(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"
