"""Trained weights kept by the hash of everything that can change them."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from msnas.code import Code, changed, code_of
from msnas.errors import DataError, NotStoredError, StorageError
from msnas.identity import entry_name
from msnas.locks import file_lock
from msnas.storage import damage_of, flush, read_record, write_record, writing

log = logging.getLogger("msnas")

Weights = dict[str, Tensor]

WEIGHTS, RECORD = "weights.pt", "record.json"


def read_torch(path: Path) -> Any:
    """The tensors and plain values in a file of PyTorch's, on the CPU; nothing in it is run.

    Raises DataError for one that cannot be read.
    """
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # a damaged file lets PyTorch raise nearly any of them
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is not a readable file of PyTorch's ({reason})") from error


def read_folder(folder: Path, *, name: str) -> tuple[Any, dict[str, Any]]:
    """The content of the file `name` in a folder with a record, and the record.

    Raises DataError unless both are what was written.
    """
    record = read_record(folder / RECORD)
    if name not in record.get("files", {}):
        raise DataError(f"{folder / RECORD} has no checksum of {name}")
    if damage := damage_of(folder, record):
        raise DataError(damage)
    return read_torch(folder / name), record


@final
class Entry:
    """One training: finished (weights and a record) or a folder to continue in."""

    def __init__(self, path: Path, code: Code) -> None:
        self.path = path
        self.code = code
        self.partial = path.with_name(path.name + ".partial")
        self._content: tuple[Weights, dict[str, Any]] | None = None

    @property
    def finished(self) -> bool:
        """Whether the weights are there; they are never seen half-written."""
        return self.path.is_dir()

    def read(self) -> tuple[Weights, dict[str, Any]]:
        """Weights and record of a finished training, read once.

        Raises DataError unless they are what was written.
        """
        if self._content is None:
            weights, record = read_folder(self.path, name=WEIGHTS)
            if not isinstance(weights, dict) or not all(
                isinstance(value, Tensor) for value in weights.values()
            ):
                raise DataError(f"{self.path / WEIGHTS}: expected tensors by name")
            self._content = weights, record
        return self._content

    def damage(self) -> str | None:
        """Why a finished training cannot be read, if it cannot."""
        try:
            self.read()
        except DataError as error:
            return str(error)
        return None

    def resumable(self) -> Path | None:
        """The checkpoint to go on from, if there is one; one that cannot be read is dropped."""
        if not (self.partial / RECORD).is_file():
            return None
        try:
            record = read_record(self.partial / RECORD)
            name = str(record.get("checkpoint"))
            read_folder(self.partial, name=name)
        except DataError as error:
            log.warning("%s cannot be read (%s): begun anew", self.partial, error)
            shutil.rmtree(self.partial)
            self.begin()
            return None
        return self.partial / name

    def begin(self) -> None:
        """Make the folder for checkpoints."""
        self.partial.mkdir(parents=True, exist_ok=True)

    def keep(self, epoch: int, save: Callable[[Path], object]) -> None:
        """Have `save` write the checkpoint of an epoch; it counts once the record names it."""
        path = self.partial / f"epoch-{epoch}.ckpt"
        with writing(path):
            save(path)
            flush(path)
        write_record(self.partial / RECORD, {"checkpoint": path.name}, files=[path.name])
        for other in self.partial.glob("epoch-*.ckpt"):
            if other != path:
                other.unlink()

    def commit(self, weights: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Write the result beside its place, then rename it there; drop the checkpoints."""
        new = self.path.with_name(self.path.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        with writing(self.path):
            new.mkdir(parents=True)
            torch.save(dict(weights), new / WEIGHTS)
            flush(new / WEIGHTS)
            write_record(new / RECORD, {**record, "code": self.code}, files=[WEIGHTS])
            os.replace(new, self.path)
            flush(self.path.parent)
        shutil.rmtree(self.partial, ignore_errors=True)

    def discard_older(self, since: int) -> None:
        """Forget what was written before a time [ns], finished or not."""
        for folder in (self.path, self.partial):
            record = folder / RECORD
            if folder.exists() and (not record.exists() or record.stat().st_mtime_ns < since):
                shutil.rmtree(folder)

    def discard(self) -> None:
        """Forget this training, finished or not."""
        self._content = None
        for folder in (self.path, self.partial):
            shutil.rmtree(folder, ignore_errors=True)


@final
class Store:
    """Entries below `root`, as `<kind>/<hash>`; shared by all runs and processes.

    Those of the kinds in `repeat` that are older than `since` [ns] are dropped when asked for. One
    that is `closed` takes nothing new.
    """

    def __init__(
        self, root: Path, *, repeat: Collection[str] = (), since: int = 0, closed: bool = False
    ) -> None:
        self.root = root
        self.closed = closed
        self.repeat = repeat
        self.since = since

    @contextmanager
    def entry(self, kind: str, identity: Mapping[str, Any]) -> Iterator[Entry]:
        """The entry of `identity`, alone: another process that wants it waits here.

        The lock is the operating system's: it ends with its process, however that ends. An entry
        that cannot be read is dropped, to be trained anew. One that can needs no lock: it may be
        in a folder that only others may write to. Raises NotStoredError where the store is closed.
        """
        entry = self._entry(kind, identity)
        if kind in self.repeat:
            with self._lock(entry):
                entry.discard_older(self.since)
        if entry.finished and entry.damage() is None:
            if entry.partial.exists():  # killed right after the rename
                with suppress(StorageError), self._lock(entry):
                    if entry.finished:
                        shutil.rmtree(entry.partial, ignore_errors=True)
            yield entry
            return
        if self.closed:
            raise NotStoredError(f"{entry.path} is not there")
        with self._lock(entry):
            if entry.finished and (damage := entry.damage()):
                log.warning("%s cannot be read (%s): trained anew", entry.path, damage)
                entry.discard()
            elif not entry.finished and not entry.partial.exists():
                _tell_what_changed(entry)
            yield entry

    def discard(self, kind: str, identity: Mapping[str, Any]) -> None:
        """Forget the entry of `identity`."""
        entry = self._entry(kind, identity)
        with self._lock(entry):
            entry.discard()

    def _entry(self, kind: str, identity: Mapping[str, Any]) -> Entry:
        code = code_of(identity)
        return Entry(self.root / kind / entry_name(identity, code), code)

    @contextmanager
    def _lock(self, entry: Entry) -> Iterator[None]:
        path = entry.path
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        what = f"training {path.parent.name} {path.name}"
        with file_lock(path.with_name(path.name + ".lock"), what=what):
            yield


def _tell_what_changed(entry: Entry) -> None:
    """Say which code is not that of the last training of the same settings, if there is one."""
    same = entry.path.name.rpartition("-")[0]
    earlier = [path for path in entry.path.parent.glob(f"{same}-*") if path.suffix == ""]
    for path in sorted(earlier, key=lambda path: path.stat().st_mtime, reverse=True)[:1]:
        with suppress(DataError):
            before = read_record(path / RECORD).get("code", {})
            log.info("trained again: %s changed", ", ".join(changed(before, entry.code)))
