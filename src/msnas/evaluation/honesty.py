"""How honest a chain's intermediate outputs are: their validity and leakage.

On validation events both are measured at every point of the conditioning (a task weight may be
chosen by them), also event by event; on test events the leakage at the run's own point only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

import h5py
import torch
from torch import Tensor

from msnas.chain.task import Task
from msnas.conditioning.conditioning import Point
from msnas.data.events import Batch
from msnas.evaluation.applied import Applied
from msnas.evaluation.interventions import levels_read_later
from msnas.evaluation.judge import Judge
from msnas.evaluation.leakage import FEWEST, cross_fitted, entropy, leakage_of, on_others
from msnas.storage import whole


@dataclass(frozen=True, kw_only=True)
class Honesty:
    """Results at each point, and arrays of the validation events, [point, event] or [event].

    `truth` and `loss` are those of the last task; `score` is its output if that is one number per
    event. `inside/<task>` says whether all variables are valid (per object, if the task counts
    objects). The mean of `excess/<task>` over events is I(output; y) / H(y) - I(truth; y) / H(y).
    """

    points: list[dict[str, Any]]
    events: dict[str, Tensor]

    def write(self, path: File, *, key: str) -> None:
        """Write the arrays to an HDF5 file, with `key` as an attribute."""
        with whole(path) as new, h5py.File(new, "w") as file:
            file.attrs["key"] = key
            for name, values in self.events.items():
                file.create_dataset(name, data=values.cpu().numpy(), compression="gzip")


def measure_honesty(
    valid: Sequence[Applied],
    test: Applied,
    *,
    points: Sequence[Point | None],
    judges: Mapping[str, Judge],
    detector: Batch,
    seed: int,
) -> Honesty | None:
    """Leakage and validity of all tasks whose output a later task reads; None if there are none.

    `valid` are the validation events at each of the `points`, the run's own point first; `detector`
    are the same events in the detector's frame; `test` are the test events at the run's own point.
    """
    chain, last = test.chain, test.chain.tasks[-1]
    levels = levels_read_later(chain)
    if not levels or not last.supervised:
        return None
    told: list[dict[str, Any]] = [
        {"parameters": point or {}, "validity": {}, "leakage": {}} for point in points
    ]
    final = len(chain.tasks) - 1
    outputs = [one.output(final) for one in valid]
    events = {
        "truth": valid[0].events[last.target],
        "loss": torch.stack([_losses(last, one) for one in valid]),
    }
    if outputs[0].ndim == 1:
        events["score"] = torch.stack([last.scored(output) for output in outputs])
    for name, judge in judges.items():
        inside = judge.inside(detector, [one.detected()[name] for one in valid])
        events[f"inside/{name}"] = inside
        for place, shares in enumerate(inside.double().mean(1).tolist()):
            told[place]["validity"][name] = shares
    for level in levels if has_classes(valid[0].events, last) else []:
        name = chain.tasks[level].name
        added = leakage_on_validation(level, valid, seed=seed)
        events[f"excess/{name}"] = (added[:-1] - added[-1]).float()
        for place, output in enumerate(added[:-1]):
            found = leakage_of(output, added[-1], seed=seed)
            told[place]["leakage"][name] = {"valid": found}
        told[0]["leakage"][name]["test"] = leakage_on_test(level, valid[0], test, seed=seed)
    return Honesty(points=told, events=events)


def has_classes(events: Batch, last: Task) -> bool:
    """Whether the last task's truth are classes, with enough events to measure a leakage."""
    truth = events[last.target]
    enough = not truth.is_floating_point() and len(truth) >= FEWEST
    return enough and entropy(_labels(events, last)) > 0


def leakages(valid: Applied, own: Applied, *, seed: int) -> dict[str, dict[str, Any]]:
    """Leakage of all tasks on the events `own`, which may be the validation events themselves."""
    chain = own.chain
    found = {}
    for level in levels_read_later(chain) if has_classes(valid.events, chain.tasks[-1]) else []:
        if own is valid:
            output, truth = leakage_on_validation(level, [valid], seed=seed)
            found[chain.tasks[level].name] = leakage_of(output, truth, seed=seed)
        else:
            found[chain.tasks[level].name] = leakage_on_test(level, valid, own, seed=seed)
    return found


def leakage_on_validation(level: int, valid: Sequence[Applied], *, seed: int) -> Tensor:
    """Each validation event's term of the information in the output at each point and in truth."""
    inputs = torch.stack([*(_handed(level, one) for one in valid), _truth(level, valid[0])])
    return cross_fitted(inputs, _labels(valid[0].events, valid[0].chain.tasks[-1]), seed=seed)


def leakage_on_test(level: int, valid: Applied, test: Applied, *, seed: int) -> dict[str, Any]:
    """Leakage on `test` events, by probes fitted to all validation events."""
    last = test.chain.tasks[-1]
    fitted, others = (
        torch.stack([_handed(level, one), _truth(level, one)]) for one in (valid, test)
    )
    labels = [_labels(one.events, last) for one in (valid, test)]
    output, truth = on_others(fitted, labels[0], others, labels[1], seed=seed)
    return leakage_of(output, truth, seed=seed)


def _losses(last: Task, one: Applied) -> Tensor:
    output = one.output(len(one.path) - 1)
    events = {name: value.to(output.device) for name, value in one.events.items()}
    return last.event_losses(output, events)


def _handed(level: int, one: Applied) -> Tensor:
    """A task's output as later tasks read it, [event, number]."""
    return _numbers(one.chain.tasks[level].hand_on(one.output(level)))


def _truth(level: int, one: Applied) -> Tensor:
    """A task's truth in the form in which later tasks read it, [event, number]."""
    task = one.chain.tasks[level]
    return _numbers(task.output.from_truth(one.events[task.target]))


def _numbers(values: Tensor) -> Tensor:
    return values.reshape(len(values), -1).float().cpu()


def _labels(events: Batch, last: Task) -> Tensor:
    truth = events[last.target]
    return truth.reshape(len(truth), -1).long().cpu()
