"""A chain of tasks that exchange named tensors, with several candidate models for each task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import final

import torch
from torch import Tensor, nn

from msnas.chain.task import Task
from msnas.conditioning.film import CONDITION, Conditioned
from msnas.data.frames import OUTPUT_OF
from msnas.errors import ConfigError

Path = tuple[str, ...]
"""One candidate per task, in the order of the chain."""

Named = Mapping[str, Tensor]


def handed_on(task: Task) -> str:
    """Name of the batch's tensor that holds a trained task's output for later tasks to read."""
    return f"{task.target}{OUTPUT_OF}{task.name})"


@final
class Chain(nn.Module):
    """All candidates of all tasks; `candidates[task][name]` are their modules.

    A task reads named tensors: fields of the batch, and for the target of an earlier task that
    task's output (in `run`, `walk`) or its truth (in `run_on_truth`).
    """

    def __init__(
        self, tasks: Sequence[Task], candidates: Mapping[str, Mapping[str, nn.Module]]
    ) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.candidates = nn.ModuleDict(
            {task.name: nn.ModuleDict(dict(candidates[task.name])) for task in self.tasks}
        )
        self.origin: dict[str, str] = {}
        """Key of the training of a candidate's weights, by its label; none if never trained."""
        # a loss with parameters, such as the class centres of affinity, is trained with the chain
        self.learning_losses = nn.ModuleDict(
            {
                task.name: task.loss
                for task in self.tasks
                if task.loss is not None and any(True for _ in task.loss.parameters())
            }
        )

    def names(self) -> list[list[str]]:
        """Names of the candidates of each task."""
        return [list(self._of(task)) for task in self.tasks]

    def paths(self) -> list[Path]:
        """Every chain: one candidate per task."""
        return list(product(*self.names()))

    def draw(
        self, generator: torch.Generator, *, among: Sequence[Sequence[str]] | None = None
    ) -> Path:
        """A uniformly random path: one candidate per task, of all or of the names in `among`."""
        return tuple(
            names[int(torch.randint(len(names), (), generator=generator))]
            for names in among or self.names()
        )

    def candidate(self, level: int, name: str) -> nn.Module:
        """The module of a candidate of the task at `level`, counted from 0 along the chain."""
        return self._of(self.tasks[level])[name]

    def label(self, level: int, name: str) -> str:
        """Name of a candidate in records and displays: `<task>/<candidate>`."""
        return f"{self.tasks[level].name}/{name}"

    def trainable(self, level: int, name: str) -> bool:
        """Whether a candidate has trainable parameters."""
        return any(one.requires_grad for one in self.candidate(level, name).parameters())

    def replace(self, level: int, name: str, module: nn.Module) -> None:
        """Replace the module of a candidate by another one."""
        self._of(self.tasks[level])[name] = module

    def only(self, path: Path) -> Chain:
        """A chain with the candidates of `path` alone; it shares their modules with this chain."""
        chain = Chain(
            self.tasks,
            {
                task.name: {name: self.candidate(level, name)}
                for level, (task, name) in enumerate(zip(self.tasks, path, strict=True))
            },
        )
        chain.origin = dict(self.origin)
        return chain

    def inputs(self, level: int, name: str) -> tuple[str, ...]:
        """Names of the tensors that a candidate reads: its own `reads`, else its task's inputs."""
        reads = getattr(self.candidate(level, name), "reads", None)
        return self.tasks[level].inputs if reads is None else tuple(reads)

    def reads(self, *, truths: bool = True) -> set[str]:
        """Names of all fields read by candidates and, with `truths`, by losses and metrics."""
        own = {
            key
            for level, names in enumerate(self.names())
            for name in names
            for key in self.inputs(level, name)
        }
        read = own.union(*(task.inputs for task in self.tasks))
        if truths:
            return read.union(*(task.truths for task in self.tasks))
        return read - {task.target for task in self.tasks}

    def supervised(self) -> list[Task]:
        """Tasks with a loss, in the order in which losses and task weights are listed elsewhere."""
        return [task for task in self.tasks if task.supervised]

    def start(self, batch: Named) -> dict[str, Tensor]:
        """The named tensors before the first task: all fields but the tasks' truths."""
        targets = {task.target for task in self.tasks}
        return {name: value for name, value in batch.items() if name not in targets}

    def apply_candidate(self, level: int, name: str, values: Named) -> Tensor:
        """Raw output of one candidate, computed from the named tensors it reads."""
        inputs = {key: values[key] for key in self.inputs(level, name)}
        module = self.candidate(level, name)
        output: Tensor = (
            module(inputs, values[CONDITION]) if isinstance(module, Conditioned) else module(inputs)
        )
        return output

    def hand_on(self, level: int, output: Tensor, values: Named) -> dict[str, Tensor]:
        """Named tensors for the next task: `values` with the finished `output` of this task."""
        task = self.tasks[level]
        return {**values, task.target: task.hand_on(output)}

    def run(self, batch: Named, path: Path) -> list[Tensor]:
        """Finished output of every task along one path."""
        ((_, outputs),) = self.walk(batch, [path])
        return outputs

    def run_on_truth(self, batch: Named, level: int, name: str) -> Tensor:
        """Finished output of one candidate that reads the truth of earlier tasks.

        Where the batch holds the output of a trained earlier task (under `handed_on(task)`), the
        candidate reads this output instead of the truth.
        """
        values = self.start(batch)
        for task in self.tasks[:level]:
            if handed_on(task) in batch:
                values[task.target] = batch[handed_on(task)]
            elif task.target in self.inputs(level, name):
                values[task.target] = task.output.from_truth(batch[task.target])
        return self.tasks[level].output.finish(self.apply_candidate(level, name, values))

    def walk(self, batch: Named, paths: Iterable[Path]) -> Iterator[tuple[Path, list[Tensor]]]:
        """Outputs of many paths; common prefixes (the same first candidates) are computed once.

        For N candidates per task: N runs of the first task, N^2 of the second, and so on.
        Paths come out grouped by prefix, not in the order given.
        """
        yield from self._walk((), self.start(batch), [], list(paths))

    def _walk(
        self, prefix: Path, values: dict[str, Tensor], outputs: list[Tensor], paths: list[Path]
    ) -> Iterator[tuple[Path, list[Tensor]]]:
        level = len(prefix)
        if level == len(self.tasks):
            yield prefix, outputs
            return
        for name in dict.fromkeys(path[level] for path in paths):
            raw = self.apply_candidate(level, name, values)
            output = self.tasks[level].output.finish(raw)
            yield from self._walk(
                (*prefix, name),
                self.hand_on(level, output, values),
                [*outputs, output],
                [path for path in paths if path[level] == name],
            )

    def mix(
        self, batch: Named, shares: Sequence[Tensor]
    ) -> tuple[list[Tensor], list[list[Tensor]]]:
        """Outputs of a chain in which each task outputs a weighted mean of its candidates' outputs.

        `shares[level]` [candidate] are the weights of a task's candidates, with sum 1. Returns the
        finished mixture of every task, which the next task reads, and the finished output of each
        single candidate, by task.
        """
        values = self.start(batch)
        mixtures, singles = [], []
        for level, share in enumerate(shares):
            raw = [self.apply_candidate(level, name, values) for name in self.names()[level]]
            mixture = self.finish_mixture(level, raw, share)
            finish = self.tasks[level].output.finish
            mixtures.append(mixture)
            singles.append([finish(output) for output in raw])
            values = self.hand_on(level, mixture, values)
        return mixtures, singles

    def finish_mixture(self, level: int, raw: Sequence[Tensor], share: Tensor) -> Tensor:
        """Weighted mean of raw outputs, finished after mixing (angles are wrapped last)."""
        mixed = torch.tensordot(share.to(raw[0].dtype), torch.stack(list(raw)), dims=1)
        return self.tasks[level].output.finish(mixed)

    def pretrains(self, level: int) -> bool:
        """Whether a task can be pre-trained: it has a loss, and all its inputs have a truth."""
        task = self.tasks[level]
        without = {earlier.target for earlier in self.tasks[:level] if not earlier.supervised}
        read = {key for name in self._of(task) for key in self.inputs(level, name)}
        return task.supervised and not without.intersection(read)

    def losses(self, outputs: Sequence[Tensor], batch: Named) -> list[Tensor]:
        """Mean loss of every supervised task, scalars in the order of the chain."""
        return [
            task.mean_loss(output, batch)
            for task, output in zip(self.tasks, outputs, strict=True)
            if task.supervised
        ]

    def own_losses(self, losses: Sequence[Tensor]) -> dict[str, Tensor]:
        """The given losses of the supervised tasks, by task name."""
        return {task.name: loss for task, loss in zip(self.supervised(), losses, strict=True)}

    def parameter_count(self) -> int:
        """Number of trainable parameters of all candidates and learning losses."""
        return sum(value.numel() for value in self.parameters() if value.requires_grad)

    def _of(self, task: Task) -> nn.ModuleDict:
        candidates = self.candidates[task.name]
        assert isinstance(candidates, nn.ModuleDict)
        return candidates


def check_chain(chain: Chain, batch: Named) -> None:
    """Run every candidate on two events; raise ConfigError if an output has the wrong shape."""
    few = {name: value[:2] for name, value in batch.items()}
    with torch.no_grad():
        for level, task in enumerate(chain.tasks):
            for name in chain.names()[level]:
                key = f"tasks.{task.name}.candidates.{name}"
                try:
                    output = chain.run_on_truth(few, level, name)
                except (RuntimeError, KeyError, ValueError, IndexError) as error:
                    raise ConfigError(
                        f"{key}: does not take {list(chain.inputs(level, name))}: {error}"
                    ) from error
                if not task.supervised:
                    few[handed_on(task)] = task.hand_on(output)
                if output.shape != (2, *task.output.shape):
                    raise ConfigError(
                        f"{key}: found an output of shape {list(output.shape[1:])} per event, "
                        f"expected {list(task.output.shape)}"
                    )
