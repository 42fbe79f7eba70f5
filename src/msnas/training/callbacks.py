"""What happens at the end of an epoch."""

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
    """Lightning's, which also stops at once when resumed after its patience had run out."""

    def __init__(self, *, patience: int) -> None:
        super().__init__(monitor=MONITOR, patience=patience, mode="min")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop if the epoch before the interruption was the last one."""
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience


@final
class KeptWeights(pl.Callback):
    """Keeps the weights of the epoch with the lowest validation loss, or of the last one.

    With `start` (the validation batches) the weights that the stage starts from are judged too, as
    epoch -1: they are kept where no other are better. `history` has all epochs but that one; in
    it, `seconds` is what the training took up to an epoch's end, and `time` when that was, in
    seconds since 1970. Each epoch is also told to `tell`.
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
        """Start the clock, and judge the start if this is one."""
        assert isinstance(pl_module, StageModule)
        self._since = time.perf_counter()
        if self.start is not None and not self.history:
            self.start_loss = pl_module.score(self.start)
            self.start_weights = pl_module.kept_weights()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the epoch's numbers, and its weights if they are to be kept."""
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
        """Fall back to the start where nothing was better."""
        if self.start_loss is not None and self.start_loss <= self.loss:
            self.loss, self.epoch, self.weights = self.start_loss, -1, self.start_weights

    def state_dict(self) -> dict[str, Any]:
        """Everything but the clock."""
        names = ("loss", "epoch", "weights", "start_loss", "start_weights", "history", "seconds")
        return {name: getattr(self, name) for name in names}

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
