"""Task weights as the user gives them: `task_weight=` or `task_weights.<task>=`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from msnas.errors import ConfigError


def task_weights(
    chain: Sequence[str],
    *,
    task_weight: Any = None,
    given: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Weights v_t of the tasks of `chain`, in its order, with sum 1; equal weights by default.

    Raises ConfigError for a weight that is no finite number >= 0, for a `task_weight` outside
    [0, 1] or without exactly two tasks, for weights of some tasks only, or for both forms at once.

    >>> task_weights(["a", "b"], task_weight=0.9)
    {'a': 0.9, 'b': 0.1}
    """
    values = {name: value for name, value in (given or {}).items() if value is not None}
    if unknown := sorted(values.keys() - set(chain)):
        raise ConfigError(f"task_weights.{unknown[0]}: not a task; the chain is {list(chain)}")
    if task_weight is not None and values:
        raise ConfigError(
            "task_weight and task_weights exclude each other; found "
            f"task_weight={task_weight} and task_weights={values}"
        )
    if task_weight is not None:
        if len(chain) != 2:
            raise ConfigError(
                f"task_weight={task_weight}: only for a chain of two tasks, this one is "
                f"{list(chain)}; use task_weights.<task>=..."
            )
        first = _number(task_weight, key="task_weight")
        if first > 1:
            raise ConfigError(f"task_weight: expected a number from 0 to 1, found {task_weight}")
        return {chain[0]: first, chain[1]: round(1.0 - first, 15)}
    if not values:
        return {name: 1.0 / len(chain) for name in chain}
    if missing := [name for name in chain if name not in values]:
        raise ConfigError(f"task_weights.{missing[0]}: missing; give all or none of {list(chain)}")
    weights = {name: _number(values[name], key=f"task_weights.{name}") for name in chain}
    total = sum(weights.values())
    if total == 0:
        raise ConfigError(f"task_weights: at least one must be above 0, found {weights}")
    return {name: weight / total for name, weight in weights.items()}


def _number(value: Any, *, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{key}: expected a number >= 0, found {value!r}")
    if not math.isfinite(value) or value < 0:
        raise ConfigError(f"{key}: expected a finite number >= 0, found {value}")
    return float(value)
