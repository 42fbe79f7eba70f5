"""Checks of a chain's configuration. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msnas.errors import ConfigError


def check_tasks(tasks: Mapping[str, Any], chain: Sequence[str], fields: Mapping[str, Any]) -> None:
    """Raise ConfigError unless all tasks of `chain` exist, have inputs that exist, and candidates.

    The target of a task without a loss must not be a field: it only names the task's output.
    """
    if not chain or len(set(chain)) != len(chain):
        raise ConfigError(f"problem.chain: expected different tasks, found {list(chain)}")
    for name in chain:
        if name not in tasks:
            raise ConfigError(f"problem.chain: {name!r} is not a task; tasks are {sorted(tasks)}")
    targets = {tasks[name]["target"] for name in chain}
    known = set(fields) - targets
    for name in chain:
        task = tasks[name]
        readers = {"inputs": task["inputs"]} | {
            f"candidates.{candidate}.reads": settings.get("reads") or ()
            for candidate, settings in task["candidates"].items()
        }
        for reader, keys in readers.items():
            for key in keys:
                if key not in known:
                    raise ConfigError(
                        f"tasks.{name}.{reader}: {key!r} is neither a field that is no target nor "
                        f"an earlier task's target; allowed are {sorted(known)}"
                    )
        if task["loss"] is None:
            if task["target"] in fields or task["target"] in known:
                raise ConfigError(
                    f"tasks.{name}.target: {task['target']!r} is a field, but the task has no "
                    "loss; name what it hands on, or give it a loss"
                )
        elif task["target"] not in fields:
            raise ConfigError(
                f"tasks.{name}.target: {task['target']!r} is not a field; "
                f"fields are {sorted(fields)}"
            )
        if (counts := task.get("counts")) is not None and counts not in fields:
            raise ConfigError(
                f"tasks.{name}.counts: {counts!r} is not a field; fields are {sorted(fields)}"
            )
        judge = task.get("validity") or {}
        for key in (*judge.get("inputs", ()), judge.get("residual_of")):
            if key is not None and key not in fields:
                raise ConfigError(
                    f"tasks.{name}.validity: {key!r} is not a field; fields are {sorted(fields)}"
                )
        if not task["candidates"]:
            raise ConfigError(
                f"candidate/{name}: no candidate; choose some with candidate/{name}=[...]"
            )
        known.add(task["target"])
    if all(tasks[name]["loss"] is None for name in chain):
        raise ConfigError(f"problem.chain: no task of {list(chain)} has a loss")
