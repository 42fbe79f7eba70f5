"""Lightning callbacks at the end of an epoch: early stopping, kept weights, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, final

from torch import Tensor

from msnas.data.events import Batch
from msnas.libraries import pytorch_lightning as pl
from msnas.training.stage_module import StageModule
from msnas.training.store import Entry

MONITOR = "valid/loss"


@final
class EarlyStopping(pl.callbacks.EarlyStopping):
    """Lightning's early stopping; a training resumed after its patience ran out stops at once."""

    def __init__(self, *, patience: int) -> None:
        super().__init__(monitor=MONITOR, patience=patience, mode="min")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop if the patience had run out before the interruption."""
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience


@final
class KeptWeights(pl.Callback):
    """Keeps the weights of the epoch with the lowest validation loss; with `last`, of the last.

    With `start` (the validation batches) the initial weights of the stage are judged too, as epoch
    -1, and kept if no epoch has a lower loss. `history` has a record of every epoch but -1: its
    `seconds` are the training time up to the epoch's end, its `time` is the end of the epoch in
    seconds since 1970. `tell` is called with each record.
    """

    def __init__(
        self,
        *,
        last: bool = False,
        start: Iterable[Batch] | None = None,
        tell: Callable[[dict[str, Any]], None] = lambda line: None,
    ) -> None:
        self.last = last
        self.start = start
        self.tell = tell
        self.loss = float("inf")
        self.epoch = -1
        self.weights: dict[str, Tensor] = {}
        self.start_loss: float | None = None
        self.start_weights: dict[str, Tensor] = {}
        self.history: list[dict[str, Any]] = []
        self.seconds = 0.0
        self._since = time.perf_counter()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock; judge the initial weights, unless the training is resumed."""
        assert isinstance(pl_module, StageModule)
        self._since = time.perf_counter()
        if self.start is not None and not self.history:
            self.start_loss = pl_module.score(self.start)
            self.start_weights = pl_module.kept_weights()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record the epoch's numbers, and its weights if they are to be kept."""
        assert isinstance(pl_module, StageModule)
        now = time.perf_counter()
        self.seconds += now - self._since
        self._since = now
        values = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        self.history.append(
            {
                "epoch": trainer.current_epoch,
                "train/loss": pl_module.train_loss(),
                **values,
                **pl_module.epoch_record(),
                "seconds": self.seconds,
                "time": time.time(),
            }
        )
        self.tell(self.history[-1])
        if self.last or values[MONITOR] < self.loss:
            self.loss, self.epoch = values[MONITOR], trainer.current_epoch
            self.weights = pl_module.kept_weights()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Fall back to the initial weights if no epoch had a lower validation loss."""
        if self.start_loss is not None and self.start_loss <= self.loss:
            self.loss, self.epoch, self.weights = self.start_loss, -1, self.start_weights

    def state_dict(self) -> dict[str, Any]:
        """The kept weights and the history; only the clock is left out."""
        names = ("loss", "epoch", "weights", "start_loss", "start_weights", "history", "seconds")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        for name, value in state_dict.items():
            setattr(self, name, value)


@final
class EpochCheckpoint(pl.callbacks.Checkpoint):
    """Writes a checkpoint after every epoch, whole or not at all.

    It is written at the end of the training epoch, after validation: a checkpoint written during
    validation makes EarlyStopping fail on resume. Lightning runs a `Checkpoint` callback last.
    """

    def __init__(self, entry: Entry) -> None:
        self.entry = entry

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the checkpoint into the folder of the training's store entry."""
        self.entry.keep(trainer.current_epoch, trainer.save_checkpoint)
