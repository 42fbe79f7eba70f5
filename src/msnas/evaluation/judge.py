"""The Gaussian process that judges a task's output, trained once per data set."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from msnas.build import build
from msnas.chain.task import Task
from msnas.data.events import Events
from msnas.identity import derived_seed
from msnas.training.progress import Display
from msnas.training.store import Store


def measure_validity(
    task: Task,
    settings: Mapping[str, Any],
    output: Tensor,
    events: Events,
    *,
    data_identity: Mapping[str, Any],
    machine: Mapping[str, Any],
    store: Store,
    display: Display,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Validity of the test events' outputs of `task`, and how the judge was come by.

    The judge depends on the data and its own settings only, not on any chain or the run's seed:
    all runs on the same events share it.
    """
    from msnas.evaluation.validity import Validity

    judge: Validity = build(settings, key=f"tasks.{task.name}.validity")
    identity = {
        "validity": dict(settings),
        "target": task.target,
        "data": dict(data_identity),
        "machine": dict(machine),
    }
    seed = derived_seed(data_identity["split_seed"], "validity", task.name)
    row = display.row(task.name, epochs=judge.epochs)
    with store.entry("validity", identity) as entry:
        cached = entry.finished
        if not cached:
            start = time.perf_counter()
            losses: list[float] = []

            def on_epoch(done: int, loss: float) -> None:
                losses.append(loss)
                row.advance(done, loss)

            weights = judge.fit(
                events.train, events.valid, target=task.target, seed=seed, on_epoch=on_epoch
            )
            seconds = time.perf_counter() - start
            entry.commit(weights, {"losses": losses, "seconds": seconds})
        weights, record = entry.read()
    row.finish(epochs=len(record["losses"]), loss=min(record["losses"]), cached=cached)
    measured = judge.measure(weights, events.test, output, target=task.target)
    return measured, {
        "seconds": 0.0 if cached else record["seconds"],
        "epochs": {task.name: len(record["losses"])},
        "cached": [task.name] if cached else [],
        "cached_seconds": record["seconds"] if cached else 0.0,
    }
