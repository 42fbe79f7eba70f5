"""Adaptive stochastic natural gradient search (ASNG)."""

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
    """Draws chains from probabilities theta, which follow the natural gradient on validation data.

    Akimoto et al., arXiv:1905.08537. Each step evaluates two drawn chains on the same validation
    batch and updates theta (see `NaturalGradient`); then a training batch trains two newly drawn
    chains by their mean loss. Early stopping watches the loss of the most probable chain, which is
    also the chain that is selected.
    """

    floor: float | str = 0.1

    def check(self, chain: Chain, weighting: Weighting) -> None:
        """Raise ConfigError for a dummy, or for a floor out of range."""
        refuse_dummies(chain, method="asng")
        NaturalGradient([len(of_task) for of_task in chain.names()], floor=self.floor)

    def search(self, **of_stage: Any) -> ASNGSearch:
        """The training of theta and of chains drawn from it."""
        return ASNGSearch(self, **of_stage)


@final
class ASNGSearch(Search):
    """The training of ASNG's super-network and of its probabilities theta."""

    learns_from_validation: ClassVar[bool] = True
    start_counts: ClassVar[bool] = False

    def __init__(self, options: ASNG, **of_stage: Any) -> None:
        super().__init__(**of_stage)
        self.distribution = NaturalGradient(
            [len(of_task) for of_task in self.chain.names()], floor=options.floor
        )

    def make_optimizers(self) -> list[torch.optim.Optimizer]:
        """One optimiser for the weights and the weighting's own parameters."""
        parameters = [*self.chain.parameters(), *self.weighting.parameters()]
        return [self.make_optimizer([value for value in parameters if value.requires_grad])]

    def descend(self, batch: Batch) -> Tensor:
        """Compute the gradient of the mean loss of two drawn chains."""
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
        """Evaluate two drawn chains on the same validation batch, and update theta."""
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
        """The chain of the candidates with the largest theta in every task."""
        return self._path([int(theta.argmax()) for theta in self.distribution.distributions()])

    def probabilities(self) -> Probabilities:
        """Theta, by task and candidate."""
        return self.by_name(self.distribution.distributions())

    def epoch_record(self) -> dict[str, Any]:
        """Theta, and what the weighting records of the tasks' gradients and weights."""
        names = [task.name for task in self.chain.supervised()]
        return {"theta": self.probabilities(), **self.weighting.take_record(names)}

    def _path(self, indices: list[int]) -> Path:
        return tuple(names[index] for names, index in zip(self.chain.names(), indices, strict=True))

    def _loss(self, batch: Batch, path: Path) -> Tensor:
        return self.weighting.combine(self.chain.losses(self.chain.run(batch, path), batch))
