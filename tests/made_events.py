"""Events that are in memory already, and the way of all events into their parts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from msnas.data.events import Events, load_events
from msnas.data.fields import ClassLabel, Field, Numbers
from msnas.data.source import Source

FRACTIONS = {"train": 0.6, "valid": 0.2, "test": 0.2}


class Arrays(Source):
    def __init__(self, **arrays: np.ndarray) -> None:
        self.arrays = arrays

    def load(self, names: Collection[str]) -> dict[str, np.ndarray]:
        return {name: value.copy() for name, value in self.arrays.items()}

    def identity(self) -> dict[str, Any]:
        return {}


def numbered(*counts: int, **more: np.ndarray) -> Arrays:
    """Events that carry their number, so many of each class, and more arrays."""
    label = np.repeat(np.arange(len(counts), dtype=np.uint8), counts)
    return Arrays(**{"number": np.arange(len(label), dtype=np.float32), "label": label, **more})


def numbered_fields(classes: int = 2) -> dict[str, Field]:
    return {"number": Numbers(shape=[]), "label": ClassLabel(classes=classes)}


def load(source: Source, fields: Mapping[str, Field] | None = None, **settings: Any) -> Events:
    """All events, of a file that would be called somewhere.h5."""
    common = {"events": "all", "split_seed": 0, "fractions": FRACTIONS, "stratify": "label"}
    chosen = common | {"where": "somewhere.h5"} | settings
    return load_events(source, dict(fields or numbered_fields()), **chosen)
