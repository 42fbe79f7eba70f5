"""Trained weights kept by the hash of everything that can change them."""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from msnas.errors import StorageError
from msnas.identity import digest
from msnas.locks import file_lock

log = logging.getLogger("msnas")

Weights = dict[str, Tensor]

UNREADABLE = (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError)
"""What reading a damaged file raises."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise StorageError, naming `path`, for what fails inside: a full disk, no permission.

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


@final
class Entry:
    """One training: finished (weights and a record) or a folder to continue in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial = path.with_name(path.name + ".partial")
        self._content: tuple[Weights, dict[str, Any]] | None = None

    @property
    def finished(self) -> bool:
        """Whether the weights are there; they are never seen half-written."""
        return self.path.is_dir()

    @property
    def checkpoint(self) -> Path:
        """Where an unfinished training writes its last epoch."""
        return self.partial / "last.ckpt"

    def read(self) -> tuple[Weights, dict[str, Any]]:
        """Weights and record of a finished training, read once."""
        if self._content is None:
            weights = torch.load(self.path / "weights.pt", weights_only=True, map_location="cpu")
            self._content = weights, json.loads((self.path / "record.json").read_text())
        return self._content

    def readable(self) -> bool:
        """Whether a finished training can be read; a warning says why not."""
        try:
            self.read()
        except UNREADABLE as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            log.warning("%s cannot be read (%s): trained anew", self.path, reason)
            return False
        return True

    def resumable(self) -> Path | None:
        """The checkpoint to go on from, if there is one; one that cannot be read is dropped."""
        if not self.checkpoint.is_file():
            return None
        try:
            torch.load(self.checkpoint, weights_only=True, map_location="cpu")
        except UNREADABLE as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            log.warning("%s cannot be read (%s): begun anew", self.checkpoint, reason)
            self.checkpoint.unlink()
            return None
        log.info("going on from the last epoch of %s", self.path.name)
        return self.checkpoint

    def begin(self) -> None:
        """Make the folder for checkpoints."""
        self.partial.mkdir(parents=True, exist_ok=True)

    def commit(self, weights: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Write the result beside its place, then rename it there; drop the checkpoints."""
        new = self.path.with_name(self.path.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        with writing(self.path):
            new.mkdir(parents=True)
            torch.save(dict(weights), new / "weights.pt")
            (new / "record.json").write_text(json.dumps(record, indent=1))
            os.replace(new, self.path)
        shutil.rmtree(self.partial, ignore_errors=True)

    def discard(self) -> None:
        """Forget this training, finished or not."""
        self._content = None
        for folder in (self.path, self.partial):
            shutil.rmtree(folder, ignore_errors=True)


@final
class Store:
    """Entries below `root`, as `<kind>/<hash>`; shared by all runs and processes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def key(self, identity: Mapping[str, Any]) -> str:
        """The hash that names the entry of `identity`."""
        return digest(dict(identity))

    @contextmanager
    def entry(self, kind: str, identity: Mapping[str, Any]) -> Iterator[Entry]:
        """The entry of `identity`, alone: another process that wants it waits here.

        The lock is the operating system's: it ends with its process, however that ends. An entry
        that cannot be read is dropped, to be trained anew.
        """
        entry = Entry(self.root / kind / self.key(identity))
        if entry.finished and entry.readable() and not entry.partial.exists():
            yield entry
            return
        with self._lock(entry):
            if entry.finished and not entry.readable():
                entry.discard()
            elif entry.finished:  # killed right after the rename
                shutil.rmtree(entry.partial, ignore_errors=True)
            yield entry

    def discard(self, kind: str, identity: Mapping[str, Any]) -> None:
        """Forget the entry of `identity`."""
        entry = Entry(self.root / kind / self.key(identity))
        with self._lock(entry):
            entry.discard()

    @contextmanager
    def _lock(self, entry: Entry) -> Iterator[None]:
        path = entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        what = f"training {path.parent.name} {path.name}"
        with file_lock(path.with_name(path.name + ".lock"), what=what):
            yield
