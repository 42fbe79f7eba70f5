"""Where events come from. Imports no PyTorch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

PARTS = ("train", "valid", "test")
"""The parts of the data; in an array `part` 0, 1, 2."""


class Source(ABC):
    """Raw events: named arrays with one entry per event along their first axis."""

    @abstractmethod
    def load(self) -> dict[str, np.ndarray]:
        """All events.

        Two more arrays may be there:

        * `weight` [event]: event weights, negative ones allowed;
        * `part` [event]: 0 for training, 1 for validation, 2 for test. For a source that must
          decide the split itself, such as one whose events share images.
        """

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What decides the content of `load`: a file's checksum, a generator's parameters."""
