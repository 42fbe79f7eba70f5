"""Single-path one-shot search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from msnas.chain.chain import Chain, Path
from msnas.config import refuse_others
from msnas.data.events import Batch
from msnas.errors import ConfigError
from msnas.evaluation.select_by import MEASUREMENT, WORST_CASE, number_of
from msnas.identity import derived_seed
from msnas.methods.evolution import evolve
from msnas.methods.method import Choice, Search, SearchMethod, refuse_dummies
from msnas.scoring import Scoring
from msnas.weighting.weighting import Weighting

BEST_SHOWN = 50
"""Chains of an evolutionary ranking that are reported."""


EVOLUTION: Mapping[str, float] = {
    "population": 50,
    "generations": 20,
    "parents": 10,
    "crossover": 25,
    "mutation": 25,
    "probability": 0.1,
}


@final
@dataclass(frozen=True, kw_only=True)
class SPOS(SearchMethod):
    """A random chain per batch; afterwards all chains are ranked on validation data.

    Guo et al., arXiv:1904.00420; for chains of tasks: paper, section 3.2 and Algorithm 2.
    `sampling="uniform"` draws one chain per step. `sampling="fair"` (strict fairness,
    arXiv:1907.01845) draws a permutation of the candidates of every task and sums the gradients
    of the chains they make, so each step serves every candidate; where the tasks have different
    numbers of candidates the shorter permutations cycle. Early stopping watches the mean over a
    fixed set of chains: all of them up to `validation_chains`, else as few as hold every
    candidate. `ranking="grid"` judges every chain, `"evolution"` searches among them (see
    `evolve`, whose settings `evolution` holds) and reports the best it met. `select_by` is `loss`,
    `worst_case` (that of the worst shift), or `measurement` (sigma of a signal strength).
    """

    selection_settings: ClassVar[frozenset[str]] = frozenset({"ranking", "evolution", "select_by"})

    sampling: str = "uniform"
    validation_chains: int = 16
    ranking: str = "grid"
    evolution: Mapping[str, Any] = field(default_factory=lambda: dict(EVOLUTION))
    select_by: str = "loss"

    def __post_init__(self) -> None:
        """Raise ConfigError for an option that is none."""
        if self.sampling not in ("uniform", "fair"):
            raise ConfigError(f"method.sampling: expected uniform or fair, found {self.sampling!r}")
        if self.validation_chains < 1:
            raise ConfigError(
                f"method.validation_chains: expected >= 1, found {self.validation_chains}"
            )
        if self.ranking not in ("grid", "evolution"):
            raise ConfigError(f"method.ranking: expected grid or evolution, found {self.ranking!r}")
        if self.select_by not in (allowed := ("loss", WORST_CASE, MEASUREMENT)):
            raise ConfigError(
                f"method.select_by: expected one of {list(allowed)}, found {self.select_by!r}"
            )
        refuse_others(self.evolution, EVOLUTION, target="SPOS", key="method.evolution")
        object.__setattr__(self, "evolution", {**EVOLUTION, **self.evolution})
        for key, value in self.evolution.items():
            lowest = 1 if key in ("population", "parents") else 0
            if value < lowest or (key == "probability" and value > 1):
                raise ConfigError(f"method.evolution.{key}: expected >= {lowest}, found {value}")

    def check(self, chain: Chain, weighting: Weighting) -> None:
        """Raise ConfigError for a dummy."""
        refuse_dummies(chain, method="spos")

    @property
    def ranks(self) -> bool:
        """In the super-network, unless something else decides."""
        return self.select_by == "loss"

    def search(self, **of_stage: Any) -> SPOSSearch:
        """The training of random chains."""
        return SPOSSearch(self, **of_stage)


@final
class SPOSSearch(Search):
    """The super-network of SPOS, a chain or a few of it at a time."""

    def __init__(self, options: SPOS, **of_stage: Any) -> None:
        super().__init__(**of_stage)
        self.options = options
        self.validation_paths = fixed_paths(self.chain, limit=options.validation_chains)

    def descend(self, batch: Batch) -> Tensor:
        """The gradient of one chain, or the sum over the chains of a fair draw."""
        paths = self._draw()
        total = torch.zeros((), device=self.device)
        for path in paths:
            outputs = self.chain.run(batch, path)
            losses = self.chain.losses(outputs, batch)
            loss = self.weighting.descend(losses, shared=outputs[0], backward=self.manual_backward)
            total = total + loss.detach()
        return total / len(paths)

    def validate_batch(self, batch: Batch) -> dict[str, Tensor]:
        """The mean weighted loss of the fixed chains."""
        losses = [
            self.weighting.combine(self.chain.losses(outputs, batch))
            for _, outputs in self.chain.walk(batch, self.validation_paths)
        ]
        return {"loss": torch.stack(losses).mean()}

    def epoch_record(self) -> dict[str, Any]:
        """The tasks' gradients and weights."""
        return self.weighting.take_record([task.name for task in self.chain.supervised()])

    def select(self, scoring: Scoring) -> Choice:
        """The chain of the lowest validation loss in the super-network: weighted, or the worst."""
        paths, by = self.chain.paths(), self.options.select_by
        if self.options.ranking == "evolution":
            losses = evolve(
                self.chain.names(),
                lambda some: [
                    number_of(score, by) for score in scoring.score(self.chain, some, "valid")
                ],
                generator=torch.Generator().manual_seed(derived_seed(self.seed, "evolution")),
                **self.options.evolution,
            )
            paths = sorted(losses, key=losses.__getitem__)[:BEST_SHOWN]
        scores = scoring.rank(self.chain, paths)
        return Choice(path=min(scores, key=lambda one: number_of(one, by)).path, scores=scores)

    def _draw(self) -> list[Path]:
        names = self.chain.names()
        if self.options.sampling == "uniform":
            return [self.chain.draw(self.generator)]
        orders = [torch.randperm(len(of_task), generator=self.generator) for of_task in names]
        return [
            tuple(
                of_task[int(order[step % len(order)])]
                for of_task, order in zip(names, orders, strict=True)
            )
            for step in range(max(len(order) for order in orders))
        ]


def fixed_paths(chain: Chain, *, limit: int) -> list[Path]:
    """All chains if there are at most `limit`, else the fewest that hold every candidate."""
    paths = chain.paths()
    if len(paths) <= limit:
        return paths
    names = chain.names()
    longest = max(len(of_task) for of_task in names)
    return [tuple(of_task[step % len(of_task)] for of_task in names) for step in range(longest)]
