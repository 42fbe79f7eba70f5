"""Adaptive stochastic natural gradient search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from msnas.chain.chain import Chain, Path
from msnas.data.events import Batch
from msnas.methods.method import Choice, Probabilities, Search, SearchMethod, refuse_dummies
from msnas.methods.natural_gradient import NaturalGradient
from msnas.scoring import Scoring
from msnas.weighting.weighting import Weighting

SAMPLES = 2


@final
@dataclass(frozen=True, kw_only=True)
class ASNG(SearchMethod):
    """Chains drawn from theta; theta follows the natural gradient of the validation loss.

    Akimoto et al., arXiv:1905.08537. Each step judges two drawn chains on the same validation
    batch and moves theta (see `NaturalGradient`), then descends the mean loss of two newly drawn
    chains on a training batch. Early stopping watches the chain of the largest theta, which is
    also the one selected.
    """

    floor: float | str = 0.1

    def check(self, chain: Chain, weighting: Weighting) -> None:
        """Raise ConfigError for a dummy, or a floor that is none."""
        refuse_dummies(chain, method="asng")
        NaturalGradient([len(of_task) for of_task in chain.names()], floor=self.floor)

    def search(self, **of_stage: Any) -> ASNGSearch:
        """The training of chains drawn from theta, and of theta."""
        return ASNGSearch(self, **of_stage)


@final
class ASNGSearch(Search):
    """The super-network of ASNG and its distributions."""

    learns_from_validation: ClassVar[bool] = True
    start_counts: ClassVar[bool] = False

    def __init__(self, options: ASNG, **of_stage: Any) -> None:
        super().__init__(**of_stage)
        self.distribution = NaturalGradient(
            [len(of_task) for of_task in self.chain.names()], floor=options.floor
        )

    def make_optimizers(self) -> list[torch.optim.Optimizer]:
        """The optimiser of the weights, and of what the weighting learns."""
        parameters = [*self.chain.parameters(), *self.weighting.parameters()]
        return [self.make_optimizer([value for value in parameters if value.requires_grad])]

    def descend(self, batch: Batch) -> Tensor:
        """The gradient of the mean loss of two drawn chains."""
        total = torch.zeros((), device=self.device)
        for _ in range(SAMPLES):
            path = self._path(self.distribution.sample(self.generator))
            outputs = self.chain.run(batch, path)
            total = total + self.weighting.descend(
                self.chain.losses(outputs, batch),
                shared=outputs[0],
                backward=self.manual_backward,
                share=1 / SAMPLES,
            )
        return total

    @torch.no_grad()
    def learn_from_validation(self, train: Batch, valid: Batch) -> None:
        """Judge two drawn chains on the same validation batch; move theta."""
        samples = [self.distribution.sample(self.generator) for _ in range(SAMPLES)]
        losses = [self._loss(valid, self._path(sample)) for sample in samples]
        self.distribution.update(torch.tensor(samples), torch.stack(losses).cpu())

    def validate_batch(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted loss of the most probable chain."""
        return {"loss": self._loss(batch, self.most_probable())}

    def select(self, scoring: Scoring) -> Choice:
        """The most probable chain."""
        path = self.most_probable()
        return Choice(path=path, scores=scoring.rank(self.chain, [path]))

    def most_probable(self) -> Path:
        """The candidate of the largest theta of every task."""
        return self._path([int(theta.argmax()) for theta in self.distribution.distributions()])

    def probabilities(self) -> Probabilities:
        """Theta."""
        return self.by_name(self.distribution.distributions())

    def epoch_record(self) -> dict[str, Any]:
        """Theta, the tasks' gradients and weights."""
        names = [task.name for task in self.chain.supervised()]
        return {"theta": self.probabilities(), **self.weighting.take_record(names)}

    def _path(self, indices: list[int]) -> Path:
        return tuple(names[index] for names, index in zip(self.chain.names(), indices, strict=True))

    def _loss(self, batch: Batch, path: Path) -> Tensor:
        return self.weighting.combine(self.chain.losses(self.chain.run(batch, path), batch))
