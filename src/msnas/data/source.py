"""Where events come from. Imports no PyTorch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from msnas.data.compact import Compact
from msnas.part import Part

PARTS = ("train", "valid", "test")
"""The parts of the data; in an array `part` 0, 1, 2."""

OPTIONAL = ("weight", "part")
"""Arrays that a source may have beside the fields."""


class Source(Part, ABC):
    """Raw events: named arrays with one entry per event along their first axis."""

    @abstractmethod
    def load(self, names: Collection[str]) -> dict[str, np.ndarray]:
        """At least those of the arrays `names` that there are, with all events.

        Two more are given where there are such, named or not:

        * `weight` [event]: event weights, negative ones allowed;
        * `part` [event]: 0 for training, 1 for validation, 2 for test. For a source that must
          decide the split itself, such as one whose events share images.
        """

    def load_compact(
        self, names: Collection[str], *, compact: Collection[str], memory: str
    ) -> Mapping[str, Compact]:
        """What `load` gives; of those in `compact` some may be kept in a `memory` (see `Growing`).

        A source of arrays in memory leaves them as they are.
        """
        return self.load(names)

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What decides the content of `load`: a file's checksum, a generator's parameters."""
