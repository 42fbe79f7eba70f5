"""Stored files: written whole, flushed, with checksums; read back with limits. No PyTorch.

A folder of files has a record, a JSON file written last: it names every other file with its sha256
and holds the sha256 of its own content. A file that does not agree with the record is damaged.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from msnas.config import copied, is_name
from msnas.errors import DataError, MsnasError, StorageError, one_line

LARGEST_TEXT = 1 << 28
"""Bytes of the largest JSON or YAML file that is read."""

LOG_TAIL = 1 << 16
"""Bytes at the end of a log that are looked at."""

BLOCK = 1 << 16
"""Bytes of a file that are hashed at once."""

LARGEST_YAML = 1_000_000
"""Most values in a YAML file, its aliases written out."""

DEEPEST = 100
"""Most levels of nesting in a YAML file."""

FILES, CHECKSUM = "files", "sha256"
"""Keys of a record: the checksums of the files, and the checksum of the record itself."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise StorageError, naming `path`, for an error inside: a full disk, no permission.

    PyTorch reports a full disk as a RuntimeError.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise StorageError(
            f"cannot write {path} ({reason}); what was written before is kept, "
            "the same command goes on from there"
        ) from error


@contextmanager
def whole(path: Path, *, alone: bool = True) -> Iterator[Path]:
    """A path beside `path` to write to; at the end flushed, and renamed to `path`.

    If other processes may write `path` at the same time, the writer is not `alone`. Raises
    StorageError if the file cannot be written.
    """
    own = "" if alone else f".{os.getpid()}.{threading.get_ident()}"
    new = path.with_name(f".{path.name}{own}.new")
    with writing(path):
        try:
            yield new
            flush(new)
            os.replace(new, path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        flush(path.parent)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path` to write into; at the end flushed, and renamed to `path`.

    An earlier folder `path` is removed at the beginning.
    """
    new = path.with_name(f".{path.name}.new")
    for old in (path, new):
        if old.exists():
            shutil.rmtree(old)
    new.mkdir()
    try:
        yield new
        for one in new.rglob("*"):
            if not one.is_symlink():
                flush(one)
        os.replace(new, path)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    flush(path.parent)


@contextmanager
def somebodys(path: Path) -> Iterator[None]:
    """Raise DataError, naming `path`, for any error in using the content of a checked file.

    Its values are plain and of the right types, but they may be sizes, names and classes that
    make no sense together.
    """
    try:
        yield
    except MsnasError:
        raise
    except Exception as error:
        raise DataError(f"{path}: cannot be used ({one_line(error)})") from error


def flush(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    """Checksum of a file's bytes, in hexadecimal digits."""
    checksum = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK):
            checksum.update(block)
    return checksum.hexdigest()


def write_record(
    path: Path, content: Mapping[str, Any], *, files: Iterable[str] = (), alone: bool = True
) -> None:
    """Write `content` with the checksums of `files`, which lie beside `path`, and its own.

    `alone` as in `whole`.
    """
    with whole(path, alone=alone) as new:
        sums = {name: sha256_of(path.with_name(name)) for name in sorted(files)}
        # numbers and keys in the form in which they are read back
        record = json.loads(json.dumps({**content, FILES: sums}))
        new.write_text(json.dumps({**record, CHECKSUM: _checksum(record)}, indent=1) + "\n")


def read_record(path: Path) -> dict[str, Any]:
    """A record of `write_record`, with `files`, without its own checksum.

    A record from before there were checksums has neither. Raises DataError for a damaged record.
    """
    record = read_json(path)
    if not isinstance(record, dict):
        raise DataError(f"{path}: expected a mapping, found {type(record).__name__}")
    written = record.pop(CHECKSUM, None)
    if (written is not None or FILES in record) and written != _checksum(record):
        raise DataError(f"{path}: its checksum is not that of its content")
    if not isinstance(sums := record.get(FILES, {}), dict):
        raise DataError(f"{path}: {FILES}: expected a mapping, found {type(sums).__name__}")
    if odd := [name for name in sums if not is_name(name)]:
        raise DataError(f"{path}: {FILES}: {odd[0]!r} is no name of a file")
    return record


def damage_of(folder: Path, record: Mapping[str, Any], names: Iterable[str] = ()) -> str | None:
    """The damage of a record's first damaged file (of all, or of `names`); None if all are well."""
    sums = record.get(FILES, {})
    for name in names or sums:
        if name not in sums:
            continue  # written before there were checksums
        path = folder / name
        if not os.path.isfile(path):
            return f"{path} is missing"
        if sha256_of(path) != sums[name]:
            return f"{path}: its checksum is not the one written"
    return None


def read_text(path: Path, *, most: int = LARGEST_TEXT) -> str:
    """The text of a file; raise DataError for a file that is absent, too large, or no text."""
    try:
        if not os.path.isfile(path):
            raise DataError(f"{path} not found")
        if (size := os.path.getsize(path)) > most:
            raise DataError(f"{path}: {size} bytes, more than the {most} that are read")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({one_line(error)})") from error


def last_lines(path: Path) -> list[str]:
    """The lines at the end of a text file that grows, such as a log."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_TAIL))
        return file.read(LOG_TAIL).decode(errors="replace").splitlines()


def read_json(path: Path) -> Any:
    """The value in a JSON file; raise DataError for a file that is not whole."""
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({one_line(error)})") from error


def read_yaml(path: Path) -> Any:
    """The value in a YAML file of plain values.

    Raises DataError for a file that is not whole, too deep, or too large with its aliases.
    """
    text = read_text(path)
    try:
        return _by_parts(text) or _load_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({one_line(error)})") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _by_parts(text: str) -> dict[str, Any]:
    """A mapping as the parts of its keys, of which configurations of a scan share most.

    Empty where the whole may be something else than its parts.
    """
    parts = PART.split(text)
    if parts[0] or len(text) > LARGEST_YAML or any(mark in text for mark in OVER_PARTS):
        return {}
    found: dict[str, Any] = {}
    try:
        for part in parts[1:]:
            found |= copied(_part(part))
    except (yaml.YAMLError, DataError, TypeError, ValueError, RecursionError):
        return {}
    return found


@lru_cache(maxsize=1000)
def _part(text: str) -> Any:
    return _load_yaml(text)


def _load_yaml(text: str) -> Any:
    _check_size(text)
    return yaml.load(text, Loader=_LOADER)


PART = re.compile(r"^(?=\w+:)", re.MULTILINE)
"""Where a key of the outermost mapping begins."""

OVER_PARTS = ("&", "*", "<<", "\n...", "\n---", "\r")
"""Anchors, aliases and merged keys lead from part to part; the others end a document or line."""

_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _check_size(text: str) -> None:
    """Raise DataError for a YAML text that would be too large or too deep, before it is loaded."""
    anchored: dict[str, int] = {}
    sizes = [0]
    anchors: list[str | None] = [None]
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            sizes.append(1)
            anchors.append(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            size, anchor = sizes.pop(), anchors.pop()
            sizes[-1] += size
            if anchor is not None:
                anchored[anchor] = size
        elif isinstance(event, yaml.ScalarEvent):
            sizes[-1] += 1
            if event.anchor is not None:
                anchored[event.anchor] = 1
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchored:
                raise DataError(f"the alias {event.anchor!r} stands inside its own value")
            sizes[-1] += anchored[event.anchor]
        if len(sizes) > DEEPEST:
            raise DataError(f"nested more than {DEEPEST} levels deep")
        if sizes[-1] > LARGEST_YAML:
            raise DataError(f"more than {LARGEST_YAML} values, aliases written out")


def _checksum(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
