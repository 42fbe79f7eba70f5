"""The base class of sources of events. Imports no PyTorch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from msnas.data.compact import Compact
from msnas.part import Part

PARTS = ("train", "valid", "test")
"""The parts of the data; in an array `part` they are 0, 1 and 2."""

OPTIONAL = ("weight", "part")
"""Arrays that a source may have in addition to the fields."""


class Source(Part, ABC):
    """Raw events: named arrays with one entry per event along their first axis."""

    @abstractmethod
    def load(self, names: Collection[str]) -> dict[str, np.ndarray]:
        """The arrays `names`, as far as the source has them, with all events.

        Two more arrays are always returned if the source has them:

        * `weight` [event]: event weights, which may be negative;
        * `part` [event]: 0 for training, 1 for validation, 2 for test, for a source that must
          decide the split itself, such as a source whose events share images.
        """

    def load_compact(
        self, names: Collection[str], *, compact: Collection[str], memory: str
    ) -> Mapping[str, Compact]:
        """The arrays of `load`; those in `compact` may be stored as `memory` says (see `Growing`).

        By default, for a source of arrays in memory, they are plain arrays.
        """
        return self.load(names)

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What decides the result of `load`: a file's checksum or a generator's parameters."""
