"""Train one stage, or read its result from the store."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor

from msnas.conditioning.conditioning import Conditioning
from msnas.data.events import Events
from msnas.data.module import StageData
from msnas.errors import ConfigError
from msnas.identity import derived_seed, training_identity
from msnas.libraries import pytorch_lightning as pl
from msnas.training.callbacks import MONITOR, EarlyStopping, EpochCheckpoint, KeptWeights
from msnas.training.course import set_course
from msnas.training.lightning import passed_on
from msnas.training.progress import Display, TrainingRow
from msnas.training.stage_module import StageModule
from msnas.training.store import Entry, Store, read_torch

log = logging.getLogger("msnas")

CONDITIONED_STAGES = ("search", "posttrain")
"""Stages that use the conditioning; pre-training does not, so runs with and without share it."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The kept weights of a training, and its history.

    `loss` is their validation loss; `start` is that of the initial weights, if it was measured.
    """

    key: str
    weights: Mapping[str, Tensor]
    history: list[dict[str, Any]]
    seconds: float
    cached: bool
    loss: float | None = None
    start: float | None = None

    @classmethod
    def untrained(cls, weights: Mapping[str, Tensor]) -> Trained:
        """The result for a model that needs no training: its weights as they are."""
        return cls(key="", weights=weights, history=[], seconds=0.0, cached=False)

    @property
    def epochs(self) -> int:
        """Number of epochs trained."""
        return len(self.history)


@final
class StageTrainer:
    """Trains stage modules on the same events with the same machine settings.

    `data_identity` holds all settings that decide the events; `machine` holds accelerator,
    precision and threads; both are part of every key of the store.
    Search and post-training draw conditions from `conditioning`; the caller's `identity` covers it.
    `kept` gives for each training, by stage and label, the number of epochs after which it reached
    its kept weights. With the `kept` of another trainer as `epochs`, every training takes exactly
    that many epochs, without early stopping, and keeps its last weights.
    """

    def __init__(
        self,
        *,
        events: Events,
        data_identity: Mapping[str, Any],
        store: Store,
        machine: Mapping[str, Any],
        recipe: Mapping[str, Any],
        seed: int,
        display: Display,
        conditioning: Conditioning | None = None,
        epochs: Mapping[tuple[str, str], int] | None = None,
    ) -> None:
        self.events = events
        self.data_identity = data_identity
        self.store = store
        self.machine = machine
        self.recipe = recipe
        self.seed = seed
        self.display = display
        self.conditioning = conditioning
        self.epochs = epochs
        self.kept: dict[tuple[str, str], int] = {}

    def train(
        self,
        stage: str,
        label: str,
        *,
        identity: Mapping[str, Any],
        module: Callable[..., StageModule],
        settings: str | None = None,
        events: Events | None = None,
        until: int | None = None,
        told: tuple[str, str] | None = None,
    ) -> Trained:
        """Best weights of the training that `identity` describes.

        They are read from the store if they are there; an interrupted training continues after its
        last epoch; else the training begins. `module(seed=...)` makes the module. `stage` is the
        kind of store entry and, unless `settings` is given, the recipe's section; `label` is the
        row on the display. `events` replace the trainer's events; they must follow from these and
        `identity`. `told` (stage and model) replaces `stage` and `label` in the history.
        With `until` the training pauses after that many epochs and can be continued later: the
        result then has no weights, and its history ends there, even if more epochs are stored.
        """
        chosen = self.recipe[settings or stage]
        if self.epochs is not None:
            count = self.epochs[stage, label]
            if not count:  # what it started from was the best
                return Trained.untrained(module(seed=self.seed_of(stage, label)).weights())
            chosen = {**chosen, "epochs": count, "patience": None, "keep": "last", "start": False}
        full = training_identity(
            stage,
            label,
            training=identity,
            settings=settings or stage,
            recipe={**self.recipe, settings or stage: chosen},
            data=self.data_identity,
            machine=self.machine,
            seed=self.seed,
        )
        row = self.display.row(label, epochs=chosen["epochs"])
        with self.store.entry(stage, full) as entry:
            seed = self.seed_of(stage, label)
            cached = entry.finished or (until is not None and until <= len(_so_far(entry)[0]))
            if not cached:
                with torch.random.fork_rng():
                    self._fit(
                        entry,
                        module(seed=seed),
                        events or self.events,
                        chosen,
                        seed,
                        row,
                        told or (stage, label),
                        self.conditioning if stage in CONDITIONED_STAGES else None,
                        until,
                    )
            if until is not None:
                return _begun(entry, until, cached=cached, row=row)
            weights, record = entry.read()
        if cached and (reason := _unfit(weights, record, module(seed=seed))):
            log.warning("%s does not fit (%s): trained anew", entry.path, reason)
            self.store.discard(stage, full)
            return self.train(
                stage,
                label,
                identity=identity,
                module=module,
                settings=settings,
                events=events,
                told=told,
            )
        cached = cached and entry.path not in self.store.shared
        trained = Trained(
            key=entry.path.name,
            weights=weights,
            history=record["history"],
            seconds=record["seconds"],
            cached=cached,
            loss=record["loss"],
            start=record.get("start"),
        )
        self.kept[stage, label] = record.get("best_epoch", trained.epochs - 1) + 1
        row.finish(epochs=trained.epochs, loss=record["loss"], cached=cached)
        return trained

    def seed_of(self, stage: str, label: str) -> int:
        """The seed of one training."""
        return derived_seed(self.seed, stage, label)

    def _tell(self, stage: str, model: str) -> Callable[[Mapping[str, Any]], None]:
        """The function that reports an epoch; in a repetition (given `epochs`) it does nothing."""
        if self.epochs is not None:
            return lambda line: None
        return lambda line: self.display.tell({"stage": stage, "model": model, **line})

    def _fit(
        self,
        entry: Entry,
        module: StageModule,
        events: Events,
        settings: Mapping[str, Any],
        seed: int,
        row: TrainingRow,
        told: tuple[str, str],
        conditioning: Conditioning | None,
        until: int | None,
    ) -> None:
        entry.begin()
        data = StageData(
            events,
            reads=module.reads(),
            paired=module.learns_from_validation,
            batch=settings["batch"],
            evaluation_batch=self.recipe["evaluation_batch"],
            seed=seed,
            conditioning=conditioning,
        )
        kept = KeptWeights(
            last=settings.get("keep") == "last",
            start=data.val_dataloader() if settings.get("start") and module.start_counts else None,
            tell=self._tell(*told),
        )
        patience = settings["patience"]
        stopping = [] if patience is None else [EarlyStopping(patience=patience)]
        trainer = _make_trainer(
            self.machine,
            max_epochs=settings["epochs"] if until is None else until,
            callbacks=[*stopping, kept, row, EpochCheckpoint(entry)],
            default_root_dir=entry.partial,
        )
        set_course(module, settings, steps=data.train_dataloader().steps, machine=self.machine)
        module.train()  # an evaluation before may have left it in evaluation mode
        if (resume := entry.resumable()) is not None:
            log.info("going on from the last epoch of %s", entry.path.name)
        with warnings.catch_warnings():
            # Lightning 2.6.6 calls what PyTorch 2.13 has renamed
            warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
            # the module pins batches, as it knows its device; the data are the same on each
            warnings.filterwarnings("ignore", message=".*overridden `on_before_batch_transfer`.*")
            try:
                trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
            except SystemExit as error:
                # Lightning ends the process on Ctrl-C; whether to is the caller's to decide
                if isinstance(error.__context__, KeyboardInterrupt):
                    raise KeyboardInterrupt from error
                raise
        if until is not None and until <= len(kept.history):
            return
        entry.commit(
            kept.weights,
            {
                "loss": kept.loss,
                "best_epoch": kept.epoch,
                "seconds": kept.seconds,
                "history": kept.history,
                **({} if kept.start_loss is None else {"start": kept.start_loss}),
            },
        )


def _so_far(entry: Entry) -> tuple[list[dict[str, Any]], float | None]:
    """History of a training, finished or not, and the loss of its initial weights if measured."""
    if entry.finished:
        record = entry.read()[1]
        return record["history"], record.get("start")
    if (checkpoint := entry.resumable()) is None:
        return [], None
    kept = read_torch(checkpoint)["callbacks"][KeptWeights.__qualname__]
    return kept["history"], kept["start_loss"]


def _begun(entry: Entry, until: int, *, cached: bool, row: TrainingRow) -> Trained:
    """A training as it was after `until` epochs, or at its end if it ended earlier."""
    history, start = _so_far(entry)
    history = history[:until]
    losses = [epoch[MONITOR] for epoch in history] + ([] if start is None else [start])
    loss = min(filter(math.isfinite, losses), default=math.inf)
    row.finish(epochs=len(history), loss=loss, cached=cached)
    return Trained(
        key=entry.path.name,
        weights={},
        history=history,
        seconds=history[-1]["seconds"],
        cached=cached,
        loss=loss,
        start=start,
    )


def _unfit(
    weights: Mapping[str, Tensor], record: Mapping[str, Any], module: StageModule
) -> str | None:
    """Why stored weights do not fit `module`, such as weights of other code; None if they do."""
    shapes = {name: list(value.shape) for name, value in module.weights().items()}
    found = {name: list(value.shape) for name, value in weights.items()}
    for name in shapes | found:
        if shapes.get(name) != found.get(name):
            return f"{name}: shape {found.get(name)}, expected {shapes.get(name)}"
    kinds = {"history": list, "loss": int | float, "seconds": int | float}
    for name, kind in kinds.items():
        if not isinstance(record.get(name), kind):
            return f"{name}: found {record.get(name)!r}"
    return None


def _make_trainer(machine: Mapping[str, Any], **arguments: Any) -> pl.Trainer:
    """Lightning's Trainer with the `machine` settings; raise ConfigError if it refuses them."""
    try:
        return pl.Trainer(
            accelerator=machine["accelerator"],
            devices=1,
            precision=machine["precision"],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            **arguments,
            **passed_on(machine),
        )
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise ConfigError(f"trainer: {' '.join(str(error).split())}") from error


def prepare_torch(*, threads: int) -> None:
    """Set PyTorch's number of threads, and silence Lightning's log messages."""
    torch.set_num_threads(threads)
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
