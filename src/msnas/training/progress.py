"""The progress display in the terminal while a stage trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Task as Row
from rich.text import Text

from msnas.libraries import pytorch_lightning as pl
from msnas.terminal import chain_name
from msnas.training.callbacks import MONITOR


class _TimeLeft(ProgressColumn):
    """Time left until the last possible epoch; early stopping usually ends a training sooner."""

    def render(self, task: Row) -> Text:
        if task.finished or task.fields.get("done"):
            return Text("")
        if not task.completed or task.time_remaining is None:
            return Text("ETA --:--", style="cyan")
        minutes, seconds = divmod(int(task.time_remaining), 60)
        return Text(f"ETA < {minutes}:{seconds:02d}", style="cyan")


@final
class Display:
    """One progress display per stage: a row per training with epoch, losses and time left.

    `tell` is called with the history's record of every epoch when the epoch ends.
    """

    def __init__(
        self, console: Console, tell: Callable[[Mapping[str, Any]], None] = lambda line: None
    ) -> None:
        self.console = console
        self.tell = tell
        self._progress: Progress | None = None

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Show the rows of one stage under its title."""
        if self._progress is not None:
            raise RuntimeError("stages do not nest")
        self.console.print(title, style="bold", markup=False)
        with Progress(
            TextColumn("  {task.description:<20}"),
            BarColumn(bar_width=10),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[losses]}"),
            TimeElapsedColumn(),
            _TimeLeft(),
            console=self.console,
        ) as self._progress:
            try:
                yield
            finally:
                self._progress.refresh()
                self._progress = None

    def row(self, label: str, *, epochs: int) -> TrainingRow:
        """A row for one training of at most `epochs` epochs."""
        assert self._progress is not None, "a row belongs to a stage"
        task = self._progress.add_task(chain_name(label), total=epochs, losses="")
        return TrainingRow(self._progress, task)


@final
class TrainingRow(pl.Callback):
    """Moves one row forward at the end of each epoch."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self.progress = progress
        self.task = task
        self.best = float("inf")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the epoch's validation loss and the best so far."""
        self.advance(trainer.current_epoch + 1, float(trainer.callback_metrics[MONITOR]))

    def advance(self, epochs: int, loss: float) -> None:
        """Show the loss after so many epochs, and the best so far."""
        self.best = min(self.best, loss)
        self.progress.update(
            self.task, completed=epochs, losses=f"loss {loss:.4f} best {self.best:.4f}"
        )

    def finish(self, *, epochs: int, loss: float, cached: bool) -> None:
        """Show how the training ended."""
        self.progress.update(
            self.task,
            total=max(epochs, 1),
            completed=max(epochs, 1),
            done=True,
            losses=f"best {loss:.4f}" + ("  [green]cached[/green]" if cached else ""),
        )

    def state_dict(self) -> dict[str, Any]:
        """The best loss."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.best = state_dict["best"]
