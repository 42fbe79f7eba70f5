"""Hashes of everything that a run's numbers depend on. Imports no PyTorch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from msnas.code import Code

NUMERICS_VERSION = 1
"""Raise by hand when a change of the training or storing code changes numbers.

No older result is reused then. Parts, such as losses, are identified by their sources (`code`).
"""


def canonical(value: Any) -> Any:
    """`value` with numbers in one form: 0, 0.0 and -0.0 are the same, True is not 1."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float):
        number = float(value)
        return int(number) if number.is_integer() and abs(number) < 2**53 else repr(number)
    if isinstance(value, dict):
        return {str(name): canonical(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    raise TypeError(f"{value!r} of type {type(value).__name__} has no identity")


def digest(value: Any) -> str:
    """16 hexadecimal digits that identify `value` (dictionaries in any order)."""
    return digest_of_canonical(canonical(value))


def digest_of_canonical(value: Any) -> str:
    """The `digest` of a value that is `canonical` already."""
    text = json.dumps(
        {"numerics": NUMERICS_VERSION, "value": value}, sort_keys=True, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def entry_name(identity: Mapping[str, Any], code: Code) -> str:
    """The store's name for the training that `identity` describes: its hash, then that of `code`.

    Entries that only differ in their code have names with the same beginning.
    """
    return f"{digest(dict(identity))}-{digest(code)[:8]}"


def training_identity(
    stage: str,
    label: str,
    *,
    training: Mapping[str, Any],
    settings: str,
    recipe: Mapping[str, Any],
    data: Mapping[str, Any],
    machine: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """Everything that can change the outcome of one training; its hash names it in the store.

    `training` describes the trained object, `settings` names the stage of the recipe that it uses.
    """
    return {
        "stage": stage,
        "label": label,
        "training": dict(training),
        "optimizer": recipe["optimizer"],
        "settings": recipe[settings],
        "evaluation_batch": recipe["evaluation_batch"],
        "data": data,
        "machine": dict(machine),
        "seed": seed,
    }


def derived_seed(*parts: object) -> int:
    """A 63-bit seed for one use of randomness, such as (seed, stage, epoch).

    >>> derived_seed(0, "search", 1) == derived_seed(0, "search", 2)
    False
    """
    text = json.dumps([canonical(part) for part in parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
