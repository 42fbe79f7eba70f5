"""What perfect intermediate outputs would be worth: earlier outputs are replaced by the truth.

The chain is a concept bottleneck model (Koh et al. 2020, arXiv 2007.04612, test-time
interventions). If the earlier outputs are honest, the last task gets better with the truth; if
they carry other information than they claim, it gets worse.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from msnas.chain.chain import Chain
from msnas.chain.task import Task
from msnas.data.events import Batch
from msnas.data.module import batches
from msnas.errors import ConfigError
from msnas.evaluation.applied import Applied
from msnas.evaluation.sample_error import sample_error
from msnas.evaluation.variable_metric import VariableMetric

MOST_NUMBERS = 24
"""If a task outputs more numbers per event, they are only replaced all together."""

Words = Mapping[str, Mapping[str, Any]]
"""For each task its `words`: `label`, and names of the `objects` and `variables` of its truth."""


@dataclass(frozen=True, kw_only=True)
class Replaced:
    """Numbers that are replaced by the truth; `masks` [object, variable] select them, by level.

    `of` says what they are: `number`, `variable` (of all objects), `object`, `task` or `all`.
    """

    of: str
    task: str
    name: str
    masks: Mapping[int, Bool[Tensor, "object variable"]]


def levels_read_later(chain: Chain) -> list[int]:
    """Levels of the supervised tasks whose output a candidate of a later task reads."""
    return [
        level
        for level, task in enumerate(chain.tasks)
        if task.supervised
        and any(
            task.target in chain.inputs(later, name)
            for later in range(level + 1, len(chain.tasks))
            for name in chain.names()[later]
        )
    ]


def names_of(task: Task, part: Batch, words: Words) -> tuple[list[str], list[str]]:
    """Names of the objects and the variables of a task's truth.

    Variables are along the truth's last axis, objects along all axes before it. If the next task
    reads the truth in another shape (a class as one-hot), each of its numbers is an object. Default
    names come from the target. Raises ConfigError if `words` has a wrong number of names.
    """
    truth = part[task.target][:2]
    whole = truth.ndim == 1 or task.output.from_truth(truth).shape != truth.shape
    shape = (math.prod(truth.shape[1:]), 1)
    if not whole:
        shape = (math.prod(truth.shape[1:-1]), truth.shape[-1])
    found = []
    for axis, count, other in (("objects", *shape), ("variables", *shape[::-1])):
        own = words.get(task.name, {}).get(axis)
        if own is not None and len(own) != count:
            raise ConfigError(
                f"tasks.{task.name}.words.{axis}: found {len(own)} names, expected {count}"
            )
        called = "variable" if axis == "variables" and other > 1 else task.target
        numbered = [f"{called} {number + 1}" for number in range(count)]
        found.append(list(own or (numbered if count > 1 else [task.target])))
    return found[0], found[1]


@final
class Interventions:
    """All replacements by the truth that are possible in a chain, with their names.

    Raises ConfigError for `words` that do not fit the truth of `part`.
    """

    def __init__(self, chain: Chain, part: Batch, words: Words) -> None:
        self.numbers: list[Replaced] = []
        self.groups: list[Replaced] = []
        every = {}
        for level in levels_read_later(chain):
            task = chain.tasks[level]
            objects, variables = names_of(task, part, words)
            whole = torch.ones(len(objects), len(variables), dtype=torch.bool)
            every[level] = whole
            label = str(words.get(task.name, {}).get("label", task.name))
            as_task = Replaced(of="task", task=task.name, name=label, masks={level: whole})
            if whole.numel() > MOST_NUMBERS:
                self.numbers.append(as_task)
            else:
                self.numbers += _numbers(task, level, objects, variables)
                self.groups += _along_axes(task, level, objects, variables)
            self.groups.append(as_task)
        if len(every) > 1:
            self.groups.append(Replaced(of="all", task="", name="all tasks", masks=every))

    def measure(self, part: Applied, *, valid: Applied, batch: int) -> dict[str, Any]:
        """The last task's loss and metrics on `part` with each group replaced, and the curve.

        Along the curve one number after the other is replaced, in the order of what replacing it
        alone gains on the events `valid`. `batch` events are run at a time. Errors are standard
        errors of the difference to the unchanged chain, due to the finite sample of events. Empty
        if there is nothing to replace.
        """
        if not self.numbers or not part.last.supervised:
            return {}
        on_valid, own = _Part(valid, batch=batch), _Part(part, batch=batch)
        ordered_by, sign = on_valid.judged_by()
        worth = [sign * on_valid.numbers(on_valid.last(one))[ordered_by] for one in self.numbers]
        order = sorted(range(len(worth)), key=lambda place: -worth[place])
        return {
            "task": own.task.name,
            "ordered_by": ordered_by,
            "base": own.numbers(own.as_it_is),
            "groups": [own.row(one) for one in self.groups],
            "curve": [own.row(one) for one in _together([self.numbers[place] for place in order])],
        }


def _numbers(
    task: Task, level: int, objects: Sequence[str], variables: Sequence[str]
) -> Iterator[Replaced]:
    for row, one in enumerate(objects):
        for column, variable in enumerate(variables):
            mask = torch.zeros(len(objects), len(variables), dtype=torch.bool)
            mask[row, column] = True
            name = variable if len(objects) == 1 else one
            if len(objects) > 1 and len(variables) > 1:
                name = f"{variable} of {one}"
            yield Replaced(of="number", task=task.name, name=name, masks={level: mask})


def _along_axes(
    task: Task, level: int, objects: Sequence[str], variables: Sequence[str]
) -> Iterator[Replaced]:
    """A replacement of each variable, and of each object, if there are several."""
    for of, names, axis in (("variable", variables, 1), ("object", objects, 0)):
        for place, name in enumerate(names if len(names) > 1 else []):
            mask = torch.zeros(len(objects), len(variables), dtype=torch.bool)
            mask.select(axis, place).fill_(True)
            yield Replaced(of=of, task=task.name, name=name, masks={level: mask})


def _together(order: Sequence[Replaced]) -> Iterator[Replaced]:
    """The first replacement, the first two together, and so on, each named after its last."""
    masks: dict[int, Tensor] = {}
    for one in order:
        for level, mask in one.masks.items():
            masks[level] = masks[level] | mask if level in masks else mask
        yield Replaced(of=one.of, task=one.task, name=one.name, masks=dict(masks))


@final
class _Part:
    """Some events on the device of the outputs, and the chain to run again on them."""

    def __init__(self, applied: Applied, *, batch: int) -> None:
        self.chain = applied.chain.eval()
        self.path = applied.path
        self.outputs = [applied.output(level) for level in range(len(self.path))]
        device = self.outputs[-1].device
        self.events = {name: value.to(device) for name, value in applied.events.items()}
        self.batch = batch
        self.task = applied.last

    @property
    def as_it_is(self) -> Tensor:
        """The last task's finished output with nothing replaced."""
        return self.outputs[-1]

    @torch.no_grad()
    def last(self, replaced: Replaced) -> Tensor:
        """The last task's finished output; tasks whose inputs have changed are run again."""
        pieces = []
        with torch.random.fork_rng():
            torch.manual_seed(0)  # random draws, such as the dummy `noise`, are always the same
            for number, events in enumerate(batches(self.events, self.batch)):
                rows = slice(number * self.batch, (number + 1) * self.batch)
                pieces.append(self._run(events, [one[rows] for one in self.outputs], replaced))
        return torch.cat(pieces)

    def _run(self, events: Batch, outputs: Sequence[Tensor], replaced: Replaced) -> Tensor:
        values = self.chain.start(events)
        changed: set[str] = set()
        for level, (task, output) in enumerate(zip(self.chain.tasks, outputs, strict=True)):
            if changed.intersection(self.chain.inputs(level, self.path[level])):
                raw = self.chain.apply_candidate(level, self.path[level], values)
                output = task.output.finish(raw)
                changed.add(task.target)
            values = self.chain.hand_on(level, output, values)
            if (mask := replaced.masks.get(level)) is not None:
                truth = task.output.from_truth(events[task.target])
                values[task.target] = replace(values[task.target], truth, mask)
                changed.add(task.target)
        return output

    def numbers(self, output: Tensor) -> dict[str, float]:
        """The last task's loss, and its metrics that are a single number."""
        found = self.task.measure(output, self.events)
        return {
            f"{self.task.name}/loss": float(self.task.mean_loss(output, self.events)),
            **{name: value for name, value in found.items() if isinstance(value, float)},
        }

    def row(self, replaced: Replaced) -> dict[str, Any]:
        """The last task's loss and metrics with numbers replaced, and their standard errors."""
        output = self.last(replaced)
        values = self.numbers(output)
        pair, weights = [output, self.as_it_is], np.array([1.0, -1.0])
        errors = {
            name: sample_error(self.task, name.split("/", 1)[1], pair, self.events, weights)
            for name in values
        }
        told = {"of": replaced.of, "task": replaced.task, "name": replaced.name}
        return {**told, "values": values, "errors": errors}

    def judged_by(self) -> tuple[str, float]:
        """First scalar metric of the last task with a direction, else its loss; sign of better."""
        for name, metric in self.task.metrics.items():
            if metric.higher_is_better is not None and not isinstance(metric, VariableMetric):
                return f"{self.task.name}/{name}", 1.0 if metric.higher_is_better else -1.0
        return f"{self.task.name}/loss", -1.0


def replace(handed: Tensor, truth: Tensor, mask: Bool[Tensor, "object variable"]) -> Tensor:
    """An output as later tasks read it, [event, ...], with the `truth` where `mask` is set."""
    rows, true = (one.reshape(len(one), len(mask), -1) for one in (handed, truth))
    return torch.where(mask.to(handed.device), true, rows).reshape(handed.shape)
