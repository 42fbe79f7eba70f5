"""Run directories with made honesty.h5: validation events at every v1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from made_scan import write_made_run

EVENTS = 1000
LABEL = np.arange(EVENTS) % 2


@dataclass(frozen=True)
class At:
    """What is made at a v1: how well the score separates, validity, and the leakage."""

    power: float
    valid: float = 1.0
    leaks: float = -0.2


def arrays_at(at: Mapping[float, At], *, seed: int = 0) -> dict[str, np.ndarray]:
    """The same noise at every v1."""
    generator = np.random.default_rng(seed)
    noise, spread = generator.normal(size=(2, EVENTS))
    place = np.arange(EVENTS) / EVENTS
    return {
        "truth": LABEL,
        "score": np.array([one.power * LABEL + noise for one in at.values()]),
        "loss": np.array([1 - one.power + 0.1 * spread for one in at.values()]),
        "inside/calibrate": np.array([place < one.valid for one in at.values()]),
        "excess/calibrate": np.array([one.leaks + spread - spread.mean() for one in at.values()]),
    }


def leak(low: float) -> dict[str, float]:
    return {"leakage": low, "low": low, "high": low, "output": 0.5, "truth": 0.5}


def interventions(gain: float) -> dict[str, Any]:
    """Made rows: two variables of two objects, and what they are worth together."""

    def row(of: str, name: str, worth: float) -> dict[str, Any]:
        return {
            "of": of,
            "task": "calibrate",
            "name": name,
            "values": {"classify/auc": 0.7 + worth},
            "errors": {"classify/auc": 0.01},
        }

    return {
        "task": "classify",
        "ordered_by": "classify/auc",
        "base": {"classify/auc": 0.7},
        "groups": [
            row("variable", "pT", gain / 2),
            row("object", "tau 1", gain / 4),
            row("task", "calibrate", gain),
        ],
        "curve": [row("number", "pT of tau 1", gain / 2), row("number", "pT of tau 2", gain)],
    }


def write_honest_run(
    place: Path, at: Mapping[float, At], *, seed: int = 0, events_seed: int = 0, **more: Any
) -> Path:
    """A run at a fixed v1, or trained for all of them; its first point is like the first v1."""
    once = len(at) > 1
    points = {0.5: next(iter(at.values())), **at} if once else dict(at)
    told = [
        {
            "parameters": {"task_weight": v1} if once else {},
            "validity": {"calibrate": one.valid},
            "leakage": {"calibrate": {"valid": leak(0.0), "test": leak(0.1)}},
        }
        for v1, one in ([(0.5, next(iter(at.values()))), *at.items()] if once else at.items())
    ]
    v1 = 0.5 if once else next(iter(at))
    conditions = [
        {"parameters": {"task_weight": one}, "valid": {}, "test": {}}
        for one in (at if once else ())
    ]
    directory = write_made_run(
        place,
        seed=seed,
        weights=(v1, 1 - v1),
        settings={"conditioning": {"parameters": ["task_weight"]}} if once else None,
        result={
            "honesty": told,
            "interventions": interventions(0.2),
            **({"conditions": conditions} if once else {}),
        },
        **more,
    )
    own = arrays_at(at, seed=events_seed)
    if once:  # the run's own point comes first
        own = {
            name: values if name == "truth" else np.concatenate([values[:1], values])
            for name, values in own.items()
        }
    assert len(points) <= len(told)
    with h5py.File(directory / "honesty.h5", "w") as file:
        file.attrs["key"] = directory.name
        for name, values in own.items():
            file[name] = values
    return directory
