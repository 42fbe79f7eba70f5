"""The Gaussian process that judges the validity of a task's output, trained once per data set."""

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
    """A trained Gaussian process that predicts a task's target, to judge the task's outputs.

    If the task has `counts`, each object that counts is an event of its own for the process.
    """

    def __init__(self, validity: Validity, weights: Mapping[str, Tensor], task: Task) -> None:
        self._validity = validity
        self.weights = dict(weights)
        self._task = task

    def measure(self, events: Batch, output: Tensor) -> dict[str, Any]:
        """Validity of the outputs of `events`, and the judge's own coverage of the truth."""
        (output,), events = _of_objects(self._task, events, [output])
        return self._validity.measure(self.weights, events, output, target=self._task.target)

    def inside(self, events: Batch, outputs: Sequence[Tensor]) -> Bool[Tensor, "output event"]:
        """For several outputs for `events`: whether all variables of an event lie in the band.

        If the task has `counts`, there is an entry for each object that counts.
        """
        from msnas.evaluation.gaussian_process import GaussianProcess
        from msnas.evaluation.validity import WIDTH

        judge = self._validity
        process = GaussianProcess.restored(self.weights)
        outputs, events = _of_objects(self._task, events, outputs)
        mean, sigma = judge.band(process, events, self._task.target)
        pulls = [judge.difference(judge.checked(one, "the output"), mean) for one in outputs]
        return torch.stack([(pull.abs() <= WIDTH * sigma).all(1) for pull in pulls])


def _of_objects(
    task: Task, events: Batch, outputs: Sequence[Tensor] = ()
) -> tuple[list[Tensor], Batch]:
    """Outputs and events with each object that counts as its own event, if the task has `counts`.

    Only fields with a value for each object are kept.
    """
    if (counting := task.counting(events)) is None:
        return list(outputs), events
    shape = counting.shape
    fields = {
        name: value[counting]
        for name, value in events.items()
        if value.shape[: len(shape)] == shape
    }
    return [one[counting.to(one.device)] for one in outputs], fields


def judge_identity(
    task: Task,
    settings: Mapping[str, Any],
    *,
    data_identity: Mapping[str, Any],
    machine: Mapping[str, Any],
) -> dict[str, Any]:
    """All that decides the training of a judge: neither a chain nor the run's seed."""
    return {
        "validity": dict(settings),
        "target": task.target,
        "data": dict(data_identity),
        "machine": dict(machine),
        **({} if task.counts is None else {"counts": task.counts}),
    }


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
    """The judge of `task`, and a record of its training: seconds, epochs, whether from the store.

    The judge depends only on the data and its own settings, not on any chain or the run's seed:
    all runs on the same events share it.
    """
    # gpytorch takes a second to import: only imported if a run measures validity
    from msnas.evaluation.validity import Validity

    judge = build(settings, key=f"tasks.{task.name}.validity", of=Validity)
    identity = judge_identity(task, settings, data_identity=data_identity, machine=machine)
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

            _, train = _of_objects(task, events.in_detector(events.train))
            _, valid = _of_objects(task, events.in_detector(events.valid))
            weights = judge.fit(
                train,
                valid,
                target=task.target,
                seed=seed,
                device="cuda" if machine["accelerator"] == "gpu" else "cpu",
                on_epoch=on_epoch,
            )
            seconds = time.perf_counter() - start
            entry.commit(weights, {"losses": losses, "seconds": seconds})
        weights, record = entry.read()
    cached = cached and entry.path not in store.shared
    row.finish(epochs=len(record["losses"]), loss=min(record["losses"]), cached=cached)
    return Judge(judge, weights, task), {
        "seconds": 0.0 if cached else record["seconds"],
        "epochs": {task.name: len(record["losses"])},
        "cached": [task.name] if cached else [],
        "cached_seconds": record["seconds"] if cached else 0.0,
    }
