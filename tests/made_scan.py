"""Run directories with made numbers for the tests of the report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml

from msnas.results.result import Result

TASKS = ("calibrate", "classify")
CANDIDATES = {"calibrate": ["cnn", "mlp"], "classify": ["lstm", "mlp"]}
NUMBERS = {"calibrate/mse": 0.3, "classify/auc": 0.8}


def write_made_run(
    place: Path,
    method: str = "spos",
    seed: int = 0,
    *,
    key: str | None = None,
    problem: str = "made",
    tasks: Sequence[str] = TASKS,
    weights: Sequence[float] | None = (0.5, 0.5),
    chain: Sequence[str] = ("cnn", "lstm"),
    numbers: Mapping[str, Any] = NUMBERS,
    losses: Sequence[float] = (1.0, 1.0),
    settings: Mapping[str, Any] | None = None,
    of_method: Mapping[str, Any] | None = None,
    result: Mapping[str, Any] | None = None,
    scores: tuple[np.ndarray, np.ndarray] | None = None,
) -> Path:
    """A finished run; `numbers` are its test numbers, and those of validation plus 0.01.

    `scores` (probabilities, classes of the test events) become its outputs.h5.
    """
    key = key or f"{len(list(place.rglob('result.json'))):016x}"
    directory = place / problem / method / key
    directory.mkdir(parents=True)
    candidates = {task: CANDIDATES.get(task, ["cnn", "mlp"]) for task in tasks}
    config = {
        "seed": seed,
        "output": str(place),
        "problem": {"name": problem, "chain": list(tasks)},
        "tasks": {
            task: {
                "loss": {"_target_": "made.Loss"},
                "output": {"_target_": "msnas.chain.output.Binary"},
                "metrics": {"auc": {"_target_": "torchmetrics.classification.BinaryAUROC"}},
                "candidates": {name: {"size": 8} for name in candidates[task]},
            }
            for task in tasks
        },
        "data": {"file": "gone.h5", "events": 100, "split_seed": 0},
        "method": {"name": method, "_target_": f"made.{method}", **(of_method or {})},
        "pretrain": {"enabled": True},
        "recipe": {"search": {"epochs": 2}, "posttrain": {"epochs": 2}},
        **(settings or {}),
    }
    valid = {
        **{name: value + 0.01 for name, value in numbers.items() if isinstance(value, float)},
        **{f"{task}/loss": loss for task, loss in zip(tasks, losses, strict=False)},
        "loss": float(np.dot(weights, losses)) if weights and len(losses) == len(tasks) else 1.0,
    }
    content = {
        "schema": 1,
        "problem": problem,
        "method": method,
        "key": key,
        "seed": seed,
        "task_weights": dict(zip(tasks, weights, strict=True)) if weights else None,
        "selected": dict(zip(tasks, chain, strict=True)),
        "metrics": {"valid": valid, "test": dict(numbers)},
        "directions": {
            name: not name.endswith("mse") for name in numbers if not name.startswith("validity")
        },
        "chains": [],
        "parameters": 10,
        "data": {"file": "gone.h5", "sha256": "0", "events": 100},
        "stages": {
            "pretrain": {
                "seconds": 1.0,
                "epochs": {"calibrate/cnn": 3, "classify/mlp": 4},
                "cached": ["classify/mlp"],
                "cached_seconds": 10.0,
            },
            "search": {"seconds": 5.0, "epochs": {"super-network": 2}, "cached": []},
        },
        "versions": {"torch": "2"},
        "status": "finished",
        **(result or {}),
    }
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    (directory / "result.json").write_text(json.dumps(content))
    (directory / "history.jsonl").write_text("")
    if scores is not None:
        with h5py.File(directory / "outputs.h5", "w") as file:
            file.attrs["key"] = key
            for task in tasks:
                file[f"{task}/output"], file[f"{task}/target"] = scores
    return directory


def made_result(directory: Path, config: Mapping[str, Any], **record: Any) -> Result:
    """A result with as little in it as its reader needs."""
    nothing: dict[str, Any] = {
        **{"problem": "made", "method": "spos", "seed": 0, "task_weights": {}, "selected": {}},
        **{"metrics": {"valid": {}, "test": {}}, "directions": {}, "chains": [], "data": {}},
    }
    return Result.of({**nothing, **record}, config=config, directory=directory)


def made_scan(place: Path) -> Path:
    """Six seeds of SPOS, two of DARTS and of grid search at three v1; fixed chains at v1 = 0."""
    for seed in range(6):
        for v1 in (0.0, 0.5, 0.99):
            for method in ("spos", "darts", "grid_search"):
                if method != "spos" and seed > 1:
                    continue
                chain = ("cnn", "lstm") if (seed + int(10 * v1)) % 3 else ("mlp", "lstm")
                write_made_run(
                    place,
                    method,
                    seed,
                    weights=(v1, 1 - v1),
                    chain=chain,
                    numbers={
                        "calibrate/mse": 0.5 - 0.2 * v1 + 0.01 * seed,
                        "classify/auc": 0.8 + 0.005 * seed - 0.1 * v1**4,
                        "validity/joint": 0.5 + 0.4 * v1,
                    },
                )
    for seed in (0, 1):
        for reoptimise in (True, False):
            for place_, chain in enumerate([("cnn", "lstm"), ("mlp", "mlp")]):
                write_made_run(
                    place,
                    "fixed_chain",
                    seed,
                    weights=(0.0, 1.0),
                    chain=chain,
                    losses=(0.4 + 0.1 * place_, 0.6 - 0.2 * place_),
                    of_method={"chain": list(chain), "reoptimise": reoptimise},
                    numbers={
                        "calibrate/mse": 0.4 + 0.1 * place_,
                        "classify/auc": 0.81 - 0.02 * place_ - 0.05 * (not reoptimise),
                    },
                )
    return place
