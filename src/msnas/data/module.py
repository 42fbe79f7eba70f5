"""The DataModule of one stage: batches cut from tensors in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import final

import pytorch_lightning as pl
import torch

from msnas.data.events import Batch, Events
from msnas.identity import derived_seed

Block = list[Batch]
"""Batches for several optimiser steps.

Lightning spends about half a millisecond on each training step it calls, as much as a small
network; a step over a block of batches spends it once.
"""

STEPS_PER_BLOCK = 10


def batches(part: Batch, size: int) -> Iterator[Batch]:
    """The events of `part` in their order, `size` at a time."""
    for start in range(0, event_count(part), size):
        yield {name: value[start : start + size] for name, value in part.items()}


def event_count(part: Batch) -> int:
    """Number of events."""
    return len(next(iter(part.values())))


@final
class ShuffledBlocks:
    """Batches in a new random order each epoch, handed out in blocks.

    `generator` gives the generator of the epoch that begins.
    """

    def __init__(
        self, part: Batch, *, batch: int, generator: Callable[[], torch.Generator]
    ) -> None:
        self.part = part
        self.batch = batch
        self.generator = generator

    def __len__(self) -> int:
        return -(-event_count(self.part) // (self.batch * STEPS_PER_BLOCK))

    def __iter__(self) -> Iterator[Block]:
        order = torch.randperm(event_count(self.part), generator=self.generator())
        for chosen in torch.split(order, self.batch * STEPS_PER_BLOCK):
            gathered = {name: value[chosen] for name, value in self.part.items()}
            yield list(batches(gathered, self.batch))


@final
class InOrder:
    """Batches in the order of the events, one at a time."""

    def __init__(self, part: Batch, *, batch: int) -> None:
        self.part = part
        self.batch = batch

    def __len__(self) -> int:
        return -(-event_count(self.part) // self.batch)

    def __iter__(self) -> Iterator[Batch]:
        return batches(self.part, self.batch)


@final
class StageData(pl.LightningDataModule):
    """Training and validation batches of one stage; `test` never leaves `Events` here.

    Batches hold the fields named in `reads`, and event weights where there are.
    """

    def __init__(
        self, events: Events, *, reads: set[str], batch: int, evaluation_batch: int, seed: int
    ) -> None:
        super().__init__()
        self.train, self.valid = (
            {name: value for name, value in part.items() if name in reads | {"weight"}}
            for part in (events.train, events.valid)
        )
        self.batch = batch
        self.evaluation_batch = evaluation_batch
        self.seed = seed

    def train_dataloader(self) -> ShuffledBlocks:
        """The training part, in an order that depends on (seed, epoch) only."""
        return ShuffledBlocks(self.train, batch=self.batch, generator=self._epoch_generator)

    def val_dataloader(self) -> InOrder:
        """The validation part, in a fixed order."""
        return InOrder(self.valid, batch=self.evaluation_batch)

    def _epoch_generator(self) -> torch.Generator:
        assert self.trainer is not None
        seed = derived_seed(self.seed, "order", self.trainer.current_epoch)
        return torch.Generator().manual_seed(seed)
