"""What every training stage has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any, ClassVar, final

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils._pytree import tree_map_only

from msnas.data.events import Batch
from msnas.data.module import Block
from msnas.errors import TrainingError
from msnas.identity import derived_seed
from msnas.libraries import pytorch_lightning as pl
from msnas.training.average import Average
from msnas.weighting.weighting import Weighting

OptimizerFactory = Callable[[list[nn.Parameter]], Optimizer]
"""Makes an optimiser of given parameters, as the recipe configures it."""


class StageModule(pl.LightningModule, ABC):
    """A training stage: an optimiser, a training loss, a validation loss `valid/loss` to select by.

    `seed` decides all random draws of the stage. Each epoch is seeded from (seed, epoch), so a
    resumed training draws the same numbers as an uninterrupted training. The recipe's settings are
    set as attributes before training: `clip` clips gradients, `schedule` makes the learning-rate
    scheduler of the optimiser of the weights, `decay` is the decay of a moving average of the
    weights; with an average, the averaged weights are validated and kept.
    """

    learns_from_validation: ClassVar[bool] = False
    """Whether each step comes with a validation batch, for `learn_from_validation`."""

    start_counts: ClassVar[bool] = True
    """Whether the initial weights can be the result: not if the stage learns more than weights."""

    def __init__(self, *, optimizer: OptimizerFactory, seed: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.make_optimizer = optimizer
        self.weighting: Weighting | None = None
        self.clip: Callable[[list[nn.Parameter]], object] | None = None
        self.schedule: Callable[[Optimizer], LRScheduler] | None = None
        self.decay: float | None = None
        self._average: Average | None = None
        self._averaged: dict[str, Any] | None = None
        self.seed = seed
        self.generator = torch.Generator()
        self._train_sum = torch.zeros(())
        self._valid_sums: dict[str, Tensor] = {}
        self._train_events = self._valid_events = 0

    @abstractmethod
    def reads(self) -> set[str]:
        """Names of the fields the stage needs; batches hold only these and event weights."""

    @abstractmethod
    def descend(self, batch: Batch) -> Tensor:
        """Call `self.manual_backward` for one optimiser step; return the loss, a scalar.

        A weighting that looks back (`looks_back`) calls it again after the step, without gradients.
        """

    def learn_from_validation(self, train: Batch, valid: Batch) -> None:
        """Update the parameters fitted to validation data, before each step on a training batch."""

    @abstractmethod
    def validate_batch(self, batch: Batch) -> dict[str, Tensor]:
        """Mean losses over a validation batch; the weights to keep are selected by `loss`."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """State dictionary of the result of the stage, from which later stages continue."""

    @abstractmethod
    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Load what `weights` returned."""

    def epoch_record(self) -> dict[str, Any]:
        """More numbers for the history of this epoch, such as a method's alpha."""
        return {}

    def make_optimizers(self) -> list[Optimizer]:
        """The optimiser of all trainable parameters; subclasses may append more optimisers."""
        return [self.make_optimizer([value for value in self.parameters() if value.requires_grad])]

    @final
    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        """The optimisers, and the learning-rate scheduler of the first one, if any."""
        optimizers = self.make_optimizers()
        return optimizers, [] if self.schedule is None else [self.schedule(optimizers[0])]

    def on_fit_start(self) -> None:
        """Begin the weight average, or continue the average of the checkpoint that was loaded."""
        if self.decay is not None:
            self._average = Average(self, decay=self.decay)
            if self._averaged is not None:
                self._average.restore(self._averaged)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the weight average and the state of the weighting to a checkpoint."""
        if self._average is not None:
            checkpoint["average"] = self._average.state()
        if self.weighting is not None:
            checkpoint["weighting"] = self.weighting.kept()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the weighting; the average is restored later, in `on_fit_start`."""
        self._averaged = checkpoint.get("average")
        if self.weighting is not None:
            self.weighting.restore(checkpoint["weighting"])

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Pin a batch that goes to a graphics card: the card copies it without being waited for."""
        return (
            tree_map_only(Tensor, Tensor.pin_memory, batch) if self.device.type == "cuda" else batch
        )

    def training_step(self, block: Block, batch_idx: int) -> None:
        """One optimiser step for each training batch of a block."""
        if batch_idx == 0:
            self._begin_epoch()
        optimizer = self.weight_optimizer()
        scheduler: Any = self.lr_schedulers() if self.schedule is not None else None
        looking = self.weighting if self.weighting and self.weighting.looks_back else None
        total, events = self._train_sum, 0
        for batch, valid in block:
            if valid is not None:
                self.learn_from_validation(batch, valid)
            optimizer.zero_grad(set_to_none=True)
            seed = None if looking is None else self._seed_draws()
            loss = self.descend(batch)
            if self.clip is not None:
                self.clip([one for group in optimizer.param_groups for one in group["params"]])
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            if self._average is not None:
                self._average.update()
            if looking is not None:
                self._seed_draws(seed)
                looking.look_back(partial(self.descend, batch))
            size = len(next(iter(batch.values())))
            total = total + loss.detach() * size
            events += size
        self._train_sum = total
        self._train_events += events

    def weight_optimizer(self) -> LightningOptimizer:
        """The optimiser of the weights, the first one configured."""
        optimizers = self.optimizers()
        first = optimizers[0] if isinstance(optimizers, list) else optimizers
        assert isinstance(first, LightningOptimizer)
        return first

    def on_validation_epoch_start(self) -> None:
        """Put the averaged weights into the module, to validate them."""
        if self._average is not None:
            self._average.swap()

    def kept_weights(self) -> dict[str, Tensor]:
        """A copy of `weights()`, with the averaged weights if there is an average."""
        with nullcontext() if self._average is None else self._average.in_place():
            return {name: one.detach().cpu().clone() for name, one in self.weights().items()}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the validation losses."""
        if batch_idx == 0:
            self._valid_sums, self._valid_events = {}, 0
        size = len(next(iter(batch.values())))
        for name, value in self.validate_batch(batch).items():
            self._valid_sums[name] = self._valid_sums.get(name, 0.0) + value * size
        self._valid_events += size

    def on_validation_epoch_end(self) -> None:
        """Log the mean validation losses; raise TrainingError if `loss` is not finite."""
        if self._average is not None:
            self._average.swap()
        means = {
            f"valid/{name}": total / self._valid_events for name, total in self._valid_sums.items()
        }
        if not torch.isfinite(means["valid/loss"]):
            raise TrainingError(
                f"validation loss is {float(means['valid/loss'])} after epoch "
                f"{self.current_epoch}; a smaller recipe.optimizer.lr may help"
            )
        self.log_dict(means, logger=False)

    @torch.no_grad()
    def score(self, part: Iterable[Batch]) -> float:
        """The validation loss of the current weights, computed in evaluation mode."""
        self.eval()
        total, events = 0.0, 0
        with torch.random.fork_rng():
            torch.manual_seed(0)
            for batch in part:
                moved = {name: value.to(self.device) for name, value in batch.items()}
                size = len(next(iter(moved.values())))
                total += float(self.validate_batch(moved)["loss"]) * size
                events += size
        self.train()
        return total / events

    def train_loss(self) -> float:
        """Mean training loss of the epoch just trained."""
        return float(self._train_sum) / max(self._train_events, 1)

    def _seed_draws(self, seed: int | None = None) -> int:
        """Seed the generators by `seed`, by default a randomly drawn one; return the seed."""
        if seed is None:
            seed = int(torch.randint(2**62, (), generator=self.generator))
        self.generator.manual_seed(seed)
        torch.manual_seed(seed)
        return seed

    def _begin_epoch(self) -> None:
        self._train_sum = torch.zeros((), device=self.device)
        self._train_events = 0
        self._seed_draws(derived_seed(self.seed, "draws", self.current_epoch))
