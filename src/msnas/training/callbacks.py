"""What happens at the end of an epoch."""

from __future__ import annotations

import time
from typing import Any, final

import pytorch_lightning as pl
from torch import Tensor

from msnas.training.stage_module import StageModule
from msnas.training.store import Entry

MONITOR = "valid/loss"


@final
class EarlyStopping(pl.callbacks.EarlyStopping):
    """Lightning's, which also stops at once when resumed after its patience had run out."""

    def __init__(self, *, patience: int) -> None:
        super().__init__(monitor=MONITOR, patience=patience, mode="min")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop if the epoch before the interruption was the last one."""
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience


@final
class BestWeights(pl.Callback):
    """Keeps the weights with the lowest validation loss, and the history of all epochs.

    In it, `seconds` is what the training took up to an epoch's end, and `time` when that was, in
    seconds since 1970.
    """

    def __init__(self) -> None:
        self.loss = float("inf")
        self.epoch = -1
        self.weights: dict[str, Tensor] = {}
        self.history: list[dict[str, Any]] = []
        self.seconds = 0.0
        self._since = time.perf_counter()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._since = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the epoch's numbers, and its weights if they are the best."""
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
        if values[MONITOR] < self.loss:
            self.loss, self.epoch = values[MONITOR], trainer.current_epoch
            self.weights = {
                name: value.detach().cpu().clone() for name, value in pl_module.weights().items()
            }

    def state_dict(self) -> dict[str, Any]:
        """Everything but the clock."""
        return {
            name: getattr(self, name) for name in ("loss", "epoch", "weights", "history", "seconds")
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        for name, value in state_dict.items():
            setattr(self, name, value)


@final
class EpochCheckpoint(pl.callbacks.Checkpoint):
    """Writes a checkpoint after every epoch, whole or not at all.

    At the end of the training epoch, after validation: one written inside validation makes
    EarlyStopping fail on resume. As a `Checkpoint`, Lightning runs it after all other callbacks.
    """

    def __init__(self, entry: Entry) -> None:
        self.entry = entry

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write it where the training's entry keeps it."""
        self.entry.keep(trainer.current_epoch, trainer.save_checkpoint)
