"""The DataModule of one stage: batches cut from tensors in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import final

import pytorch_lightning as pl
import torch

from msnas.data.events import Batch, Events
from msnas.identity import derived_seed


@final
class Batches:
    """Batches of events; with an `order`, which gives the next epoch's generator, shuffled."""

    def __init__(
        self, part: Batch, *, batch: int, order: Callable[[], torch.Generator] | None = None
    ) -> None:
        self.part = part
        self.batch = batch
        self.order = order
        self.events = len(next(iter(part.values())))

    def __len__(self) -> int:
        return -(-self.events // self.batch)

    def __iter__(self) -> Iterator[Batch]:
        if self.order is None:
            for start in range(0, self.events, self.batch):
                yield {name: value[start : start + self.batch] for name, value in self.part.items()}
            return
        order = torch.randperm(self.events, generator=self.order())
        for chosen in order.split(self.batch):
            yield {name: value[chosen] for name, value in self.part.items()}


@final
class StageData(pl.LightningDataModule):
    """Training and validation batches of one stage; `test` never leaves `Events` here."""

    def __init__(self, events: Events, *, batch: int, evaluation_batch: int, seed: int) -> None:
        super().__init__()
        self.events = events
        self.batch = batch
        self.evaluation_batch = evaluation_batch
        self.seed = seed

    def train_dataloader(self) -> Batches:
        """Batches of the training part, in an order that depends on (seed, epoch) only."""
        return Batches(self.events.train, batch=self.batch, order=self._epoch_generator)

    def val_dataloader(self) -> Batches:
        """Batches of the validation part, in a fixed order."""
        return Batches(self.events.valid, batch=self.evaluation_batch)

    def _epoch_generator(self) -> torch.Generator:
        assert self.trainer is not None
        seed = derived_seed(self.seed, "order", self.trainer.current_epoch)
        return torch.Generator().manual_seed(seed)
