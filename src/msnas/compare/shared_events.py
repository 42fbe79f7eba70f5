"""Applies trained chains to their test events again, for errors due to the test sample."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
from torch import Tensor

from msnas.chain.task import Task
from msnas.errors import DataError, MsnasError
from msnas.evaluation.evaluate import collect_outputs
from msnas.evaluation.sample_error import sample_error
from msnas.model import load_model
from msnas.parts import read_events
from msnas.plan import Plan, make_plan
from msnas.results.result import Result
from msnas.training.train import prepare_torch

Outputs = list[Tensor]
"""The finished outputs of every task, for all test events."""


@final
class SharedTestEvents:
    """The test events that all runs of a group share.

    Raises DataError if the data are missing or are no longer the data of `run`.
    """

    def __init__(self, run: Result) -> None:
        plan = _plan(run)
        prepare_torch(threads=plan.machine["threads"])
        known = run.data.get("source", run.data)
        for key, value in plan.data_identity["source"].items():
            if known.get(key) != value:
                raise DataError(
                    f"the data are not those of {run.directory}: {key} is {value}, "
                    f"was {known.get(key)}"
                )
        events = read_events(plan)
        self.events = events.test
        self._train = events.train
        self.batch: int = plan.config["recipe"]["evaluation_batch"]
        self.tasks: dict[str, tuple[int, Task]] = {}
        self._outputs: dict[Path, Outputs] = {}

    def outputs(self, run: Result, quantities: Sequence[str]) -> Outputs:
        """The outputs of a run's chain, computed at the first call and kept.

        Raises DataError if the chain cannot be loaded or does not reproduce the run's own numbers
        for `quantities`.
        """
        if run.directory not in self._outputs:
            try:
                trained = load_model(run.directory)
            except (KeyError, RuntimeError) as error:
                raise DataError(f"{run.directory}: model.ckpt does not fit ({error})") from error
            found = collect_outputs(
                trained.chain,
                trained.ready(self.events),
                paths=[trained.path],
                batch=self.batch,
            )
            for task in trained.chain.tasks:
                task.fit_loss(self._train)
            outputs = [found[trained.path[: level + 1]] for level in range(len(trained.path))]
            tasks = {task.name: (level, task) for level, task in enumerate(trained.chain.tasks)}
            for name in quantities:
                level, task = tasks[name.split("/")[0]]
                values = task.measure(outputs[level], self.events)
                values[f"{task.name}/loss"] = float(task.mean_loss(outputs[level], self.events))
                then, now = run.test[name], values[name]
                if not math.isclose(then, now, rel_tol=1e-3, abs_tol=1e-4):
                    raise DataError(
                        f"{run.directory}: {name} of the test events is {now:.6g} now, "
                        f"was {then:.6g}"
                    )
            self.tasks = self.tasks or tasks
            self._outputs[run.directory] = outputs
        return self._outputs[run.directory]

    def error_of_difference(
        self, quantity: str, first: Sequence[Outputs], second: Sequence[Outputs]
    ) -> float:
        """Standard error of mean(quantity of `first`) - mean(quantity of `second`).

        All chains of all seeds see the same test events. So the error of the mean over seeds is
        that of a linear combination of correlated numbers, and does not shrink with the root of
        the number of seeds. For its computation see `sample_error`.
        """
        name, metric = quantity.split("/", 1)
        level, task = self.tasks[name]
        outputs = [one[level] for one in (*first, *second)]
        weights = np.array([1 / len(first)] * len(first) + [-1 / len(second)] * len(second))
        return sample_error(task, metric, outputs, self.events, weights)


def _plan(run: Result) -> Plan:
    """The plan of a run on the CPU, whatever accelerator the run was trained on."""
    config = copy.deepcopy(dict(run.config))
    try:
        config["trainer"] = {**config["trainer"], "accelerator": "cpu"}
        return make_plan(config, written=True)
    except KeyError as error:
        raise DataError(f"{run.directory}: config.yaml lacks {error}") from error
    except MsnasError as error:
        raise DataError(f"{run.directory}: {error}") from error
