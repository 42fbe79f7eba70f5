"""Single-path one-shot search (SPOS)."""

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
"""Number of chains of an evolutionary ranking that are reported."""


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
    """Trains a random chain per batch; afterwards all chains are ranked on validation data.

    Guo et al., arXiv:1904.00420; for chains of tasks: paper, section 3.2 and Algorithm 2.
    `sampling="uniform"` draws one chain per step. `sampling="fair"` (strict fairness,
    arXiv:1907.01845) draws a permutation of the candidates of every task and sums the gradients
    of the resulting chains, so that each step trains every candidate; shorter permutations are
    repeated if tasks have different numbers of candidates. Early stopping watches the mean loss of
    a fixed set of chains: all chains if there are at most `validation_chains`, else the fewest
    chains that contain every candidate. `ranking="grid"` evaluates every chain; `"evolution"`
    searches among them (see `evolve`, with the settings `evolution`) and reports the best chains.
    `select_by`: `loss`, `worst_case` (under the worst shift) or `measurement` (signal strength).
    """

    selection_settings: ClassVar[frozenset[str]] = frozenset({"ranking", "evolution", "select_by"})

    sampling: str = "uniform"
    validation_chains: int = 16
    ranking: str = "grid"
    evolution: Mapping[str, Any] = field(default_factory=lambda: dict(EVOLUTION))
    select_by: str = "loss"

    def __post_init__(self) -> None:
        """Raise ConfigError for an option with a value that is not allowed."""
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
        """Whether the chain of the lowest loss in the super-network is selected."""
        return self.select_by == "loss"

    def search(self, **of_stage: Any) -> SPOSSearch:
        """The training of random chains in a super-network."""
        return SPOSSearch(self, **of_stage)


@final
class SPOSSearch(Search):
    """The training of SPOS's super-network: one chain per step, or several with fair sampling."""

    def __init__(self, options: SPOS, **of_stage: Any) -> None:
        super().__init__(**of_stage)
        self.options = options
        self.validation_paths = fixed_paths(self.chain, limit=options.validation_chains)

    def descend(self, batch: Batch) -> Tensor:
        """Compute the gradient of one drawn chain, or the sum over the chains of a fair draw."""
        paths = self._draw()
        total = torch.zeros((), device=self.device)
        for path in paths:
            outputs = self.chain.run(batch, path)
            losses = self.chain.losses(outputs, batch)
            loss = self.weighting.descend(losses, shared=outputs[0], backward=self.manual_backward)
            total = total + loss.detach()
        return total / len(paths)

    def validate_batch(self, batch: Batch) -> dict[str, Tensor]:
        """The mean weighted loss of the fixed set of validation chains."""
        losses = [
            self.weighting.combine(self.chain.losses(outputs, batch))
            for _, outputs in self.chain.walk(batch, self.validation_paths)
        ]
        return {"loss": torch.stack(losses).mean()}

    def epoch_record(self) -> dict[str, Any]:
        """What the weighting records of the tasks' gradients and weights."""
        return self.weighting.take_record([task.name for task in self.chain.supervised()])

    def select(self, scoring: Scoring) -> Choice:
        """The chain with the lowest validation number `select_by` in the super-network."""
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
    """All chains if there are at most `limit`, else the fewest that contain every candidate."""
    paths = chain.paths()
    if len(paths) <= limit:
        return paths
    names = chain.names()
    longest = max(len(of_task) for of_task in names)
    return [tuple(of_task[step % len(of_task)] for of_task in names) for step in range(longest)]
