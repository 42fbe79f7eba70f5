"""Where events come from. Imports no PyTorch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np


class Source(ABC):
    """Raw events: named arrays with one entry per event along their first axis."""

    @abstractmethod
    def load(self) -> dict[str, np.ndarray]:
        """All events. May hold an array `weight` [event]: event weights, negative ones allowed."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What decides the content of `load`: a file's checksum, a generator's parameters."""
