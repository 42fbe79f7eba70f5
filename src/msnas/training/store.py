"""A store of trained weights, keyed by a hash of everything that can change them."""

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
    """Tensors and plain values of a PyTorch file, on the CPU; no code in the file is executed.

    Raises DataError for a file that cannot be read.
    """
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # a damaged file lets PyTorch raise nearly any of them
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is not a readable file of PyTorch's ({reason})") from error


def read_folder(folder: Path, *, name: str) -> tuple[Any, dict[str, Any]]:
    """The content of the file `name` in a folder with a record, and the record.

    Raises DataError unless the checksums show both unchanged since they were written.
    """
    record = read_record(folder / RECORD)
    if name not in record.get("files", {}):
        raise DataError(f"{folder / RECORD} has no checksum of {name}")
    if damage := damage_of(folder, record):
        raise DataError(damage)
    return read_torch(folder / name), record


@final
class Entry:
    """One training in the store: finished (weights and a record), or a folder of checkpoints."""

    def __init__(self, path: Path, code: Code) -> None:
        self.path = path
        self.code = code
        self.partial = path.with_name(path.name + ".partial")
        self._content: tuple[Weights, dict[str, Any]] | None = None

    @property
    def finished(self) -> bool:
        """Whether the final weights are there; they appear at once, never half-written."""
        return self.path.is_dir()

    def read(self) -> tuple[Weights, dict[str, Any]]:
        """Weights and record of a finished training; the files are read once.

        Raises DataError unless the checksums show them unchanged since they were written.
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
        """Why a finished training cannot be read; None if it can."""
        try:
            self.read()
        except DataError as error:
            return str(error)
        return None

    def resumable(self) -> Path | None:
        """The checkpoint to continue from, if any; an unreadable checkpoint is deleted."""
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
        """Let `save` write the checkpoint of an epoch; it is valid once the record names it."""
        path = self.partial / f"epoch-{epoch}.ckpt"
        with writing(path):
            save(path)
            flush(path)
        write_record(self.partial / RECORD, {"checkpoint": path.name}, files=[path.name])
        for other in self.partial.glob("epoch-*.ckpt"):
            if other != path:
                other.unlink()

    def commit(self, weights: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Write the result into a temporary folder, rename the folder, delete the checkpoints."""
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
        """Delete this training, finished or not, if it was written before the time `since` [ns]."""
        for folder in (self.path, self.partial):
            record = folder / RECORD
            if folder.exists() and (not record.exists() or record.stat().st_mtime_ns < since):
                shutil.rmtree(folder)

    def discard(self) -> None:
        """Delete this training, finished or not."""
        self._content = None
        for folder in (self.path, self.partial):
            shutil.rmtree(folder, ignore_errors=True)


@final
class Store:
    """Entries in the folder `root`, as `<kind>/<hash>`; shared by all runs and processes.

    Entries of the kinds in `repeat` that are older than `since` [ns] are deleted when asked for. A
    `closed` store accepts no new entries. An impatient store does not `wait` for another process.
    `shared` gives the names of entries that this run and its workers train: whoever does it, to
    the run they are not from the store.
    """

    def __init__(
        self,
        root: Path,
        *,
        repeat: Collection[str] = (),
        since: int = 0,
        closed: bool = False,
        wait: bool = True,
    ) -> None:
        self.root = root
        self.closed = closed
        self.wait = wait
        self.shared: Mapping[Path, str] = {}
        self.repeat = repeat
        self.since = since

    @contextmanager
    def entry(self, kind: str, identity: Mapping[str, Any]) -> Iterator[Entry]:
        """The entry of `identity`, locked: another process that wants the same entry waits.

        The operating system releases the lock when the process ends, even if it is killed. An
        unreadable entry is deleted, to be trained anew. A readable entry needs no lock, so it may
        be in a read-only folder. Raises NotStoredError if a closed store lacks the entry, and
        BusyError if an impatient store would have to wait.
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
        """Delete the entry of `identity`."""
        entry = self._entry(kind, identity)
        with self._lock(entry):
            entry.discard()

    def place(self, kind: str, identity: Mapping[str, Any]) -> Path:
        """The folder of the entry of `identity`, which is there once the training is finished."""
        return self._entry(kind, identity).path

    def _entry(self, kind: str, identity: Mapping[str, Any]) -> Entry:
        code = code_of(identity)
        return Entry(self.root / kind / entry_name(identity, code), code)

    @contextmanager
    def _lock(self, entry: Entry) -> Iterator[None]:
        path = entry.path
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        what = f"training {self.shared.get(path, f'{path.parent.name} {path.name}')}"
        with file_lock(path.with_name(path.name + ".lock"), what=what, wait=self.wait):
            yield


def _tell_what_changed(entry: Entry) -> None:
    """Log which source code changed since the last training with the same settings, if any."""
    same = entry.path.name.rpartition("-")[0]
    earlier = [path for path in entry.path.parent.glob(f"{same}-*") if path.suffix == ""]
    for path in sorted(earlier, key=lambda path: path.stat().st_mtime, reverse=True)[:1]:
        with suppress(DataError):
            before = read_record(path / RECORD).get("code", {})
            log.info("trained again: %s changed", ", ".join(changed(before, entry.code)))
