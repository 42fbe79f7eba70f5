"""HDF5 output written block by block; the file gets its name only when it is complete."""

import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from msnas.storage import flush

BLOCK: Final = 1000
"""Events per HDF5 chunk, and events gathered before they are written."""
SCRATCH_BLOCK: Final = 8
"""Events per HDF5 chunk of the unshuffled file, from which single events are picked."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A data set: shape of one event, number type, and description."""

    shape: tuple[int, ...]
    dtype: type[np.generic]
    description: str


LAYOUTS: Final = {
    "jet": Layout(
        shape=(2, 4),
        dtype=np.float32,
        description="two jets ordered by pT: pT [GeV], eta, phi [rad], mass [GeV]; as Delphes "
        "stores them in the collection Jet (mass carries the sign of m^2)",
    ),
    "image": Layout(
        shape=(2, 3, 16, 16),
        dtype=np.float32,
        description="[event, jet, channel, eta bin, phi bin], channel: pT of tracks from the "
        "primary vertex, EM calorimeter ET, hadronic calorimeter ET [GeV]; 16 x 16 bins of 0.05 "
        "over +-0.4 around the jet axis; calorimeters not pile-up subtracted",
    ),
    "tau": Layout(
        shape=(2, 3),
        dtype=np.float32,
        description="true tau before its decay (neutrino included), matched to the jet of the "
        "same index: pT [GeV], eta, phi [rad]",
    ),
    "label": Layout(shape=(), dtype=np.uint8, description="1 signal, 0 background"),
    "tau_visible": Layout(
        shape=(2, 4),
        dtype=np.float32,
        description="visible decay products of the true tau: pT [GeV], eta, phi [rad], mass [GeV]",
    ),
    "tau_decay": Layout(
        shape=(2, 2),
        dtype=np.uint8,
        description="number of charged hadrons and of neutral pions among the direct decay "
        "products",
    ),
}

LAYOUTS_WITH_FAKES: Final = {
    **{name: LAYOUTS[name] for name in ("jet", "image", "tau_visible", "tau_decay")},
    "is_tau": Layout(
        shape=(2,),
        dtype=np.uint8,
        description="1: the jet is matched to a hadronic tau, 0: it is a fake",
    ),
    "target": Layout(
        shape=(2, 3),
        dtype=np.float32,
        description="tau: true tau before its decay (neutrino included); fake: matched generated "
        "jet: pT [GeV], eta, phi [rad]",
    ),
    "label": Layout(
        shape=(),
        dtype=np.uint8,
        description="0 QCD di-jet (two fakes), 1 W + jet (one tau, one fake), 2 Z, 3 H (two taus)",
    ),
}
"""Data sets of events with fakes; values that only a true tau has are 0 for a fake."""


class ExampleWriter:
    """Writes examples to a hidden folder next to ``path`` and moves the file there at the end.

    ``layouts`` are the data sets of the file. Use the writer in a ``with`` statement: leaving it
    without ``finish`` removes the written data. A process killed outright leaves the hidden folder,
    never a file at ``path``. With ``shuffle_seed`` the events are first written as they come, then
    copied in the order of ``numpy.random.default_rng(shuffle_seed).permutation``. Memory: one block
    of 1000 events.

    Raises:
        OSError: the folder of ``path`` cannot be written to, or the disk is full.

    """

    def __init__(
        self, *, path: Path, shuffle_seed: int | None, layouts: Mapping[str, Layout]
    ) -> None:
        self.layouts = layouts
        self.path = path
        self.shuffle_seed = shuffle_seed
        self.events = 0
        self._waiting: list[Mapping[str, NDArray[Any]]] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        folder = self._stack.enter_context(
            tempfile.TemporaryDirectory(
                prefix=f".{self.path.name}.", suffix=".partial", dir=self.path.parent
            )
        )
        self._complete = Path(folder) / "complete.h5"
        self._output = self._stack.enter_context(h5py.File(self._complete, "w"))
        if self.shuffle_seed is None:
            self._unshuffled = self._output
            _create(self._output, self.layouts, block=BLOCK, compression="gzip")
        else:
            self._unshuffled = self._stack.enter_context(
                h5py.File(Path(folder) / "unshuffled.h5", "w")
            )
            _create(self._unshuffled, self.layouts, block=SCRATCH_BLOCK, compression=None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def append(self, example: Mapping[str, NDArray[Any]]) -> None:
        """Add one event: data set name -> values of the shape in ``layouts``."""
        self._waiting.append(example)
        self.events += 1
        if len(self._waiting) == BLOCK:
            self._write_waiting()

    def finish(self, attributes: Mapping[str, str | int]) -> None:
        """Write the remaining events, set the file's attributes, and move the file to its name."""
        self._write_waiting()
        if self.shuffle_seed is not None:
            self._copy_shuffled(self.shuffle_seed)
        for name, value in attributes.items():
            self._output.attrs[name] = value
        self._output.close()
        flush(self._complete)
        os.replace(self._complete, self.path)
        flush(self.path.parent)

    def _write_waiting(self) -> None:
        if self._waiting:
            _extend(
                self._unshuffled,
                {name: np.stack([item[name] for item in self._waiting]) for name in self.layouts},
            )
            self._waiting.clear()

    def _copy_shuffled(self, seed: int) -> None:
        order = np.random.default_rng(seed).permutation(self.events)
        _create(self._output, self.layouts, block=BLOCK, compression="gzip")
        for start in range(0, self.events, BLOCK):
            # HDF5 reads in rising order only: read sorted, then undo the sorting
            rising, place = np.unique(order[start : start + BLOCK], return_inverse=True)
            _extend(
                self._output,
                {name: self._unshuffled[name][rising][place] for name in self.layouts},
            )


def _create(
    file: h5py.File, layouts: Mapping[str, Layout], *, block: int, compression: str | None
) -> None:
    """Make the empty, growing data sets."""
    for name, layout in layouts.items():
        dataset = file.create_dataset(
            name,
            shape=(0, *layout.shape),
            maxshape=(None, *layout.shape),
            chunks=(block, *layout.shape),
            dtype=layout.dtype,
            compression=compression,
            shuffle=compression is not None,
        )
        dataset.attrs["description"] = layout.description


def _extend(file: h5py.File, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Append arrays, [event, ...] each, to the data sets of the same names."""
    for name, values in arrays.items():
        dataset = file[name]
        start = len(dataset)
        dataset.resize(start + len(values), axis=0)
        dataset[start:] = values.astype(dataset.dtype)
