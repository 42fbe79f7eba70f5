"""The numbers of a run's selected chain, and the best run on validation. Imports no PyTorch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from msnas.report.collect import FinishedRun


@dataclass(frozen=True, kw_only=True)
class Best:
    """The run whose chain is the best on validation data, by the last task's first metric."""

    run: FinishedRun
    metric: str
    valid: float
    test: float


def scalar_metrics(run: FinishedRun) -> dict[str, dict[str, float]]:
    """Metrics that are one number: validation and test, as far as they are there."""
    parts: Mapping[str, Mapping[str, object]] = run.result["metrics"]
    found: dict[str, dict[str, float]] = {}
    for name in (*run.result["directions"], "validity/joint"):
        values = {
            part: float(value)
            for part in ("valid", "test")
            if isinstance(value := parts.get(part, {}).get(name), int | float)
        }
        if values:
            found[name] = values
    return found


def best_run(runs: Iterable[FinishedRun]) -> Best | None:
    """The best of `runs`, which are of one problem; None if no metric says which is better."""
    return max(
        (found for run in runs if (found := _on_validation(run))),
        key=lambda one: one.valid if one.run.result["directions"][one.metric] else -one.valid,
        default=None,
    )


def judged(result: Mapping[str, Any]) -> tuple[str, float] | None:
    """The last task's first metric with a direction and a finite validation number; and that."""
    last = list(result["task_weights"])[-1]
    for name, direction in result["directions"].items():
        value = result["metrics"]["valid"].get(name)
        if (
            name.startswith(f"{last}/")
            and direction is not None
            and isinstance(value, int | float)
            and math.isfinite(value)
        ):
            return str(name), float(value)
    return None


def _on_validation(run: FinishedRun) -> Best | None:
    found = judged(run.result)
    if found is None:
        return None
    name, value = found
    test = scalar_metrics(run)[name].get("test", math.nan)
    return Best(run=run, metric=name, valid=value, test=test)
