"""Searches that learn alpha: their common base, and the search by the expected loss of chains."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, final

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from msnas.chain.chain import Chain, Path
from msnas.data.events import Batch
from msnas.evaluation.evaluate import ChainScore
from msnas.methods.freezing import Freezing
from msnas.methods.method import Choice, Probabilities, Search, has_dummies
from msnas.scoring import Scoring

if TYPE_CHECKING:
    from msnas.methods.darts import DARTS

ALPHA_RATE = 0.03
"""Default learning rate of alpha: large, because a small sample allows only few steps."""


MOST_RANKED = 1000
"""Most chains that are all ranked: evaluating so many takes less time than an epoch."""


class AlphaSearch(Search):
    """Base of searches that learn alpha, a number per candidate of every task, by validation data.

    Subclasses define what is trained in a step (`drawn`), its losses, and the gradient of alpha.
    """

    learns_from_validation: ClassVar[bool] = True
    start_counts: ClassVar[bool] = False

    def __init__(self, options: DARTS, *, alpha_rate: float | None, **of_stage: Any) -> None:
        super().__init__(**of_stage)
        self.options = options
        self.alpha_rate = alpha_rate
        self.alpha = nn.ParameterList(
            nn.Parameter(torch.zeros(len(of_task))) for of_task in self.chain.names()
        )
        self.freezing: Freezing | None = None
        if options.freeze is not None:
            candidates = [
                list(self.chain.candidate(level, name).parameters())
                for level, names in enumerate(self.chain.names())
                for name in names
            ]
            self.freezing = Freezing(candidates, threshold=options.freeze)
        self._valid: Batch = {}

    @abstractmethod
    def drawn(self) -> Any:
        """What a step of the weights trains: a chain, or the candidates' shares in a mixture."""

    @abstractmethod
    def task_losses(self, batch: Batch, drawn: Any) -> tuple[list[Tensor], Tensor]:
        """Losses of all tasks for the drawn chain or mixture; and the first task's output."""

    @abstractmethod
    def alpha_gradient(self, train: Batch, valid: Batch) -> list[Tensor]:
        """The gradient for alpha's step, which comes before each step of the weights."""

    def make_optimizers(self) -> list[torch.optim.Optimizer]:
        """An optimiser for the weights, and one of the same kind for alpha."""
        learned = [*self.chain.parameters(), *self.weighting.parameters()]
        self._weights = [value for value in learned if value.requires_grad]
        self._of_alpha = self.make_optimizer(list(self.alpha))
        if self.alpha_rate is not None:
            for group in self._of_alpha.param_groups:
                group["lr"] = self.alpha_rate
        return [self.make_optimizer(self._weights), self._of_alpha]

    def learn_from_validation(self, train: Batch, valid: Batch) -> None:
        """One step of alpha on a validation batch; the weights are not changed."""
        self._valid = valid
        for alpha, value in zip(self.alpha, self.alpha_gradient(train, valid), strict=True):
            alpha.grad = value
        self._of_alpha.step()  # not by Lightning, which under 16-mixed would divide by the scale

    def descend(self, batch: Batch) -> Tensor:
        """Compute the gradient of all weights that are not frozen; alpha is not changed."""
        drawn = self.drawn()
        losses, shared = self.task_losses(batch, drawn)
        loss = self.weighting.descend(losses, shared=shared, backward=self.manual_backward)
        if self.freezing is not None:
            of_tasks, _ = self.task_losses(self._valid, drawn)
            self.freezing.judge(self.weighting.combine(of_tasks))
        return loss

    def shares(self) -> list[Tensor]:
        """softmax(alpha) of every task."""
        return [alpha.softmax(0) for alpha in self.alpha]

    def most_probable(self) -> Path:
        """The chain of the candidates with the largest alpha in every task."""
        return tuple(
            names[int(alpha.argmax())]
            for names, alpha in zip(self.chain.names(), self.alpha, strict=True)
        )

    def chosen(self, scoring: Scoring, path: Path) -> Choice:
        """`path` with its score or, if the search ranks chains, the best of all chains.

        If there are more than MOST_RANKED chains, the chain that `exchange` reaches from `path`.
        """
        if not self.options.ranks:
            scores = scoring.rank(self.chain, [path])
        elif math.prod(map(len, self.chain.names())) <= MOST_RANKED:
            scores = scoring.rank(self.chain, self.chain.paths())
        else:
            scores = exchange(self.chain, path, scoring)
        return Choice(path=scores[0].path, scores=scores)

    def probabilities(self) -> Probabilities:
        """softmax(alpha), by task and candidate."""
        return self.by_name(self.shares())

    def epoch_record(self) -> dict[str, Any]:
        """Alpha, the weighting's record, and for each candidate 1 if it is frozen, else 0."""
        names = [task.name for task in self.chain.supervised()]
        found = {"alpha": self.by_name(list(self.alpha)), **self.weighting.take_record(names)}
        if self.freezing is not None:
            each = iter(self.freezing.frozen)
            found["frozen"] = self.by_name(
                [torch.stack([next(each) for _ in of_task]) for of_task in self.chain.names()]
            )
        return found


@final
class ExpectedSearch(AlphaSearch):
    """min over alpha of E[L_valid(c)], the chain c drawn with p = softmax(alpha) for every task.

    d/dalpha_ti = p_ti (E[L | c_t = i] - E[L]). The loss is linear in every p_t, so its optima are
    single chains; a mixture, in contrast, gains by ensembling. Related: SNAS (arXiv:1812.09926),
    ASNG. If there are at most `options.chains` chains, all are evaluated on each validation batch;
    else that many chains are drawn, and the baseline of each is the mean loss of the others, so the
    cost of a step does not grow with the number of chains. The weights learn on uniformly drawn
    chains, as in SPOS, so every candidate is trained equally often. Dummies are evaluated, but are
    not drawn for training if the task has another candidate: there is nothing to learn with them.
    """

    def __init__(self, options: DARTS, **of_stage: Any) -> None:
        super().__init__(options, alpha_rate=options.alpha_rate or ALPHA_RATE, **of_stage)
        few = math.prod(map(len, self.chain.names())) <= options.chains
        self._all_paths = self.chain.paths() if few else None
        self._learners = [
            [name for name in names if not has_dummies(self.chain.candidate(level, name))] or names
            for level, names in enumerate(self.chain.names())
        ]

    def drawn(self) -> Path:
        """A uniformly random chain, without dummies where possible."""
        return self.chain.draw(self.generator, among=self._learners)

    def task_losses(self, batch: Batch, drawn: Path) -> tuple[list[Tensor], Tensor]:
        """Losses of all tasks of the drawn chain; and the first task's output."""
        outputs = self.chain.run(batch, drawn)
        return self.chain.losses(outputs, batch), outputs[0]

    def alpha_gradient(self, train: Batch, valid: Batch) -> list[Tensor]:
        """The gradient of the expected loss on the validation batch."""
        return self.gradient(valid)

    def gradient(self, batch: Batch) -> list[Tensor]:
        """The gradient of the expected loss in alpha: exact, or estimated from drawn chains."""
        if self._all_paths is not None:
            expected = self._expected(batch, self._all_paths)
            return list(torch.autograd.grad(expected, list(self.alpha)))
        shares = [share.detach() for share in self.shares()]
        drawn = torch.stack(
            [
                torch.multinomial(
                    share.cpu(), self.options.chains, replacement=True, generator=self.generator
                )
                for share in shares
            ],
            1,
        )
        return drawn_gradient(drawn, self._losses(batch, self._paths(drawn)), shares)

    @torch.no_grad()
    def validate_batch(self, batch: Batch) -> dict[str, Tensor]:
        """The expected loss; if there are too many chains, the loss of the most probable chain."""
        if self._all_paths is not None:
            return {"loss": self._expected(batch, self._all_paths)}
        return {"loss": self._losses(batch, [self.most_probable()])[0]}

    def select(self, scoring: Scoring) -> Choice:
        """The most probable chain, or the best of all chains as SPOS ranks them."""
        return self.chosen(scoring, self.most_probable())

    def _expected(self, batch: Batch, paths: Sequence[Path]) -> Tensor:
        value = self._losses(batch, paths).view([len(names) for names in self.chain.names()])
        for share in self.shares():
            value = torch.tensordot(share, value.to(share), dims=1)
        return value

    @torch.no_grad()
    def _losses(self, batch: Batch, paths: Sequence[Path]) -> Float[Tensor, " chain"]:
        """The weighted loss of each of `paths`."""
        found = {
            path: self.weighting.combine(self.chain.losses(outputs, batch))
            for path, outputs in self.chain.walk(batch, list(dict.fromkeys(paths)))
        }
        return torch.stack([found[path] for path in paths])

    def _paths(self, drawn: Integer[Tensor, "chain task"]) -> list[Path]:
        return [
            tuple(names[index] for names, index in zip(self.chain.names(), one, strict=True))
            for one in drawn.tolist()
        ]


def exchange(chain: Chain, path: Path, scoring: Scoring) -> list[ChainScore]:
    """Scores of all chains met in a local search from `path`, the best chain first.

    Each step evaluates every chain that differs in one candidate and goes to the best, until none
    is better: the time of a step is linear in the number of candidates.
    """
    scores = {path: scoring.rank(chain, [path])[0]}
    while True:
        near = [
            (*path[:level], name, *path[level + 1 :])
            for level, names in enumerate(chain.names())
            for name in names
        ]
        new = [one for one in dict.fromkeys(near) if one not in scores]
        scores |= {score.path: score for score in scoring.rank(chain, new)} if new else {}
        best = min(scores, key=lambda one: scores[one].ranked_by)
        if best == path:
            return sorted(scores.values(), key=lambda score: score.ranked_by)
        path = best


def drawn_gradient(
    drawn: Integer[Tensor, "chain task"],
    losses: Float[Tensor, " chain"],
    shares: Sequence[Float[Tensor, " candidate"]],
) -> list[Float[Tensor, " candidate"]]:
    """Unbiased gradient of the expected loss: 1/S sum_s (L_s - mean of other L) (1[c_s] - p)."""
    count = len(losses)
    above = (losses - losses.mean()) * count / (count - 1)
    gradients = []
    for task, share in enumerate(shares):
        chosen = nn.functional.one_hot(drawn[:, task], len(share)).to(share)
        gradients.append(above.to(share) @ (chosen - share) / count)
    return gradients
