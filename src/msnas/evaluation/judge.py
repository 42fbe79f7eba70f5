"""The Gaussian process that judges a task's output, trained once per data set."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

import torch
from jaxtyping import Bool
from torch import Tensor

from msnas.build import build
from msnas.chain.task import Task
from msnas.data.events import Batch, Events
from msnas.identity import derived_seed
from msnas.training.progress import Display
from msnas.training.store import Store

if TYPE_CHECKING:
    from msnas.evaluation.validity import Validity


@final
class Judge:
    """A trained Gaussian process that knows what to expect of a task's output."""

    def __init__(self, validity: Validity, weights: Mapping[str, Tensor], target: str) -> None:
        self._validity = validity
        self.weights = dict(weights)
        self._target = target

    def measure(self, events: Batch, output: Tensor) -> dict[str, Any]:
        """Validity of the outputs of `events`, and the judge's own coverage of the truth."""
        return self._validity.measure(self.weights, events, output, target=self._target)

    def inside(self, events: Batch, outputs: Sequence[Tensor]) -> Bool[Tensor, "output event"]:
        """Whether all variables of each of several outputs for `events` lie in the band."""
        from msnas.evaluation.gaussian_process import GaussianProcess
        from msnas.evaluation.validity import WIDTH

        # Validity's own steps, from outside: its sources are part of the keys of all runs
        judge = self._validity
        process = GaussianProcess.restored(self.weights)
        mean, sigma = judge._band(process, events, self._target)
        pulls = [judge._difference(judge._checked(one, "the output"), mean) for one in outputs]
        return torch.stack([(pull.abs() <= WIDTH * sigma).all(1) for pull in pulls])


def train_judge(
    task: Task,
    settings: Mapping[str, Any],
    events: Events,
    *,
    data_identity: Mapping[str, Any],
    machine: Mapping[str, Any],
    store: Store,
    display: Display,
) -> tuple[Judge, dict[str, Any]]:
    """The judge of `task`, and how it was come by.

    The judge depends on the data and its own settings only, not on any chain or the run's seed:
    all runs on the same events share it.
    """
    # gpytorch takes a second to import: only for a run that is judged
    from msnas.evaluation.validity import Validity

    judge = build(settings, key=f"tasks.{task.name}.validity", of=Validity)
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
                events.in_detector("train"),
                events.in_detector("valid"),
                target=task.target,
                seed=seed,
                on_epoch=on_epoch,
            )
            seconds = time.perf_counter() - start
            entry.commit(weights, {"losses": losses, "seconds": seconds})
        weights, record = entry.read()
    row.finish(epochs=len(record["losses"]), loss=min(record["losses"]), cached=cached)
    return Judge(judge, weights, task.target), {
        "seconds": 0.0 if cached else record["seconds"],
        "epochs": {task.name: len(record["losses"])},
        "cached": [task.name] if cached else [],
        "cached_seconds": record["seconds"] if cached else 0.0,
    }
