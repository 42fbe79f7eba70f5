"""What two ways to the same numbers have to agree in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

VOLATILE = {"seconds", "time", "cached", "cached_seconds", "files", "sha256"}
"""What may differ between two ways to the same numbers, and checksums of files that hold that."""


def without_volatile(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_volatile(one) for key, one in value.items() if key not in VOLATILE}
    if isinstance(value, list):
        return [without_volatile(one) for one in value]
    return value


def tensor_bytes(path: Path) -> dict[str, bytes]:
    """Every tensor of a file of weights, byte for byte."""
    loaded = torch.load(path, weights_only=True)
    weights = loaded.get("weights", loaded)
    return {name: value.numpy().tobytes() for name, value in weights.items()}
