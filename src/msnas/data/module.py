"""Lightning's DataModule of one stage: batches of tensors that are in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice, repeat
from typing import final

import torch

from msnas.conditioning.conditioning import Conditioning
from msnas.data.augment import Augment
from msnas.data.events import Batch, Events
from msnas.identity import derived_seed
from msnas.libraries import pytorch_lightning as pl

Step = tuple[Batch, Batch | None]
"""A training batch for one optimiser step and, for methods that need it, a validation batch."""

Block = list[Step]
"""Several optimiser steps, which Lightning runs as one of its training steps.

Lightning needs about half a millisecond per training step, as long as a small network; with blocks
of batches this time is spent only once per block.
"""

STEPS_PER_BLOCK = 10


def batches(part: Batch, size: int) -> Iterator[Batch]:
    """The events of `part` in their order, `size` at a time."""
    for start in range(0, event_count(part), size):
        yield {name: value[start : start + size] for name, value in part.items()}


def event_count(part: Batch) -> int:
    """Number of events of a batch or a part."""
    return len(next(iter(part.values())))


@final
class ShuffledBlocks:
    """The steps of an epoch in blocks, with the events in a new random order in every epoch.

    `generator` returns the random generator of the epoch that begins. With a `valid` part every
    step also holds a validation batch; an epoch is one pass over the larger part, and the smaller
    part is repeated, shuffled anew, as often as needed: no event is left out.
    """

    def __init__(
        self,
        train: Batch,
        *,
        batch: int,
        generator: Callable[[], torch.Generator],
        valid: Batch | None = None,
        conditioning: Conditioning | None = None,
        augment: Augment | None = None,
    ) -> None:
        self.train = train
        self.valid = valid
        self.batch = batch
        self.generator = generator
        self.conditioning = conditioning
        self.augment = augment

    @property
    def steps(self) -> int:
        """Number of optimiser steps of an epoch."""
        longer = max(event_count(self.train), event_count(self.valid) if self.valid else 0)
        return -(-longer // self.batch)

    def __len__(self) -> int:
        return -(-self.steps // STEPS_PER_BLOCK)

    def __iter__(self) -> Iterator[Block]:
        generator = self.generator()
        train = self._endless(self.train, generator, augment=self.augment)
        valid = self._endless(self.valid, generator) if self.valid else repeat(None)
        steps = islice(zip(train, valid, strict=False), self.steps)
        while block := list(islice(steps, STEPS_PER_BLOCK)):
            yield block

    def _endless(
        self, part: Batch, generator: torch.Generator, *, augment: Augment | None = None
    ) -> Iterator[Batch]:
        """Endless batches of `part`; every pass draws order, augmentation and conditions anew."""
        while True:
            order = torch.randperm(event_count(part), generator=generator)
            for chosen in torch.split(order, self.batch * STEPS_PER_BLOCK):
                gathered = {name: value[chosen] for name, value in part.items()}
                if augment is not None:
                    gathered = augment.draw(gathered, generator)
                if self.conditioning is not None:
                    gathered = self.conditioning.draw(gathered, generator)
                yield from batches(gathered, self.batch)


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
    """Training and validation batches of one stage; it has no access to the test events.

    Batches hold the fields named in `reads`, and event weights if there are any. With `paired`,
    each training step has a validation batch too. With `conditioning`, every pass draws a new
    condition for each training event; the conditions of validation events never change.
    """

    def __init__(
        self,
        events: Events,
        *,
        reads: set[str],
        paired: bool,
        batch: int,
        evaluation_batch: int,
        seed: int,
        conditioning: Conditioning | None = None,
    ) -> None:
        super().__init__()
        self.train, self.valid = (
            {name: value for name, value in part.items() if name in reads | {"weight"}}
            for part in (events.train, events.valid)
        )
        self.paired = paired
        self.batch = batch
        self.evaluation_batch = evaluation_batch
        self.seed = seed
        self.conditioning = conditioning
        self.augment = events.augment

    def train_dataloader(self) -> ShuffledBlocks:
        """The training part (with validation batches if `paired`), ordered by (seed, epoch)."""
        return ShuffledBlocks(
            self.train,
            batch=self.batch,
            generator=self._epoch_generator,
            valid=self.valid if self.paired else None,
            conditioning=self.conditioning,
            augment=self.augment,
        )

    def val_dataloader(self) -> InOrder:
        """The validation part, in a fixed order."""
        valid = self.valid if self.conditioning is None else self.conditioning.spread(self.valid)
        return InOrder(valid, batch=self.evaluation_batch)

    def _epoch_generator(self) -> torch.Generator:
        assert self.trainer is not None
        seed = derived_seed(self.seed, "order", self.trainer.current_epoch)
        return torch.Generator().manual_seed(seed)
