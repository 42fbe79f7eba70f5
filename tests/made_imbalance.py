"""Runs of rare taus and of two tasks with made numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from made_scan import write_made_run


def near(rows: Sequence[tuple[float, ...]]) -> list[Any]:
    return [pytest.approx(row) for row in rows]


def task(loss: Mapping[str, Any] | None, target: str = "label") -> dict[str, Any]:
    return {
        "loss": loss,
        "target": target,
        "output": {"_target_": "msnas.chain.output.Binary"},
        "metrics": {},
        "candidates": {"cnn": {"size": 8}, "mlp": {"size": 8}},
    }


def class_balanced(one_minus_beta: float) -> dict[str, Any]:
    return {
        "_target_": "msnas.losses.class_balanced.ClassBalanced",
        "one_minus_beta": one_minus_beta,
        "normalisation": "sum_to_classes",
    }


def accuracies(minor: float, major: float, auc: float = 0.9) -> dict[str, float]:
    return {
        "tau_id/auc": auc,
        "tau_id/minor_accuracy": minor,
        "tau_id/major_accuracy": major,
        "tau_id/balanced_accuracy": (minor + major) / 2,
    }


def write_tau_run(
    place: Path,
    seed: int,
    loss: Mapping[str, Any],
    numbers: Mapping[str, float],
    *,
    fraction: float = 0.1,
    conditions: Mapping[str, Mapping[float, Mapping[str, float]]] | None = None,
    seconds: float = 20.0,
) -> None:
    """A run of one task; `conditions` are test numbers by parameter and value."""
    told = [
        {"parameters": {name: value}, "valid": {}, "test": dict(test)}
        for name, values in (conditions or {}).items()
        for value, test in values.items()
    ]
    jets = 1800
    write_made_run(
        place,
        "fixed_chain",
        seed,
        problem="tau_vs_jet",
        tasks=["tau_id"],
        weights=[1.0],
        chain=["cnn"],
        numbers=numbers,
        losses=[1.0],
        settings={
            "tasks": {"tau_id": task(dict(loss))},
            "data": {
                "file": "gone.h5",
                "split_seed": 0,
                "tau_fraction": fraction,
                "thin": {"class": 1, "fraction": fraction},
            },
            **({"conditioning": {"parameters": list(conditions)}} if conditions else {}),
        },
        result={
            "data": {
                "events": 3000,
                "sha256": "0",
                "classes": {"train": {"0": jets, "1": round(jets * fraction / (1 - fraction))}},
            },
            "stages": {"posttrain": {"seconds": seconds, "epochs": {"tau_id/cnn": 10}}},
            **({"conditions": told, "winners": []} if conditions else {}),
        },
    )


TASKS = ("features", "tau_id", "calibration")


def write_two_task_run(
    place: Path,
    seed: int,
    weight: float | None,
    both: tuple[float, float],
    *,
    weighting: Mapping[str, Any] | None = None,
    conditions: Mapping[float, tuple[float, float]] | None = None,
    features: bool = True,
    winners: Sequence[Mapping[str, Any]] = (),
    method: str = "fixed_chain",
    valid: float = 0.1,
) -> None:
    """A run of two tasks, its numbers (AUC, MSE); those of validation are `valid` larger."""
    names = TASKS if features else TASKS[1:]
    losses = {"features": None, "tau_id": {"_target_": "a.A"}, "calibration": {"_target_": "a.B"}}

    def numbers(both: tuple[float, float], more: float = 0.0) -> dict[str, float]:
        return {"tau_id/auc": both[0] + more, "calibration/mse": both[1] + more}

    first = 0.5 if weight is None else weight  # no weight: a weighting finds its own
    supervised = {"tau_id": first, "calibration": 1 - first}
    told = [
        {
            "parameters": {"task_weight": value},
            "valid": numbers(one, valid),
            "test": numbers(one),
        }
        for value, one in (conditions or {}).items()
    ]
    write_made_run(
        place,
        method,
        seed,
        problem="two",
        tasks=names,
        weights=None,
        chain=["cnn"] * len(names),
        numbers=numbers(both),
        settings={
            "tasks": {name: task(losses[name]) for name in names},
            "weighting": dict(weighting or {"_target_": "msnas.weighting.fixed.Fixed"}),
            **({"conditioning": {"parameters": ["task_weight"]}} if conditions else {}),
        },
        result={
            "task_weights": supervised,
            "metrics": {"valid": {**numbers(both, valid), "loss": 1.0}, "test": numbers(both)},
            **({"conditions": told, "winners": list(winners)} if conditions else {}),
        },
    )
