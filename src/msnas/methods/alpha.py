"""Searches that learn alpha: what they share, and the one by the expected loss over chains."""

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
"""Of alpha, where the user gives none: it must move in the few steps of a small sample."""


MOST_RANKED = 1000
"""Chains; judging them all takes less time than an epoch."""


class AlphaSearch(Search):
    """What learns alpha, one number per candidate of every task, on validation batches.

    `drawn`, `task_losses` and `alpha_gradient` tell how: of what the weights learn in a step.
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
        """What a step of the weights is about: a chain, or shares of the candidates."""

    @abstractmethod
    def task_losses(self, batch: Batch, drawn: Any) -> tuple[list[Tensor], Tensor]:
        """Every task's loss of what was drawn; the first task's output."""

    @abstractmethod
    def alpha_gradient(self, train: Batch, valid: Batch) -> list[Tensor]:
        """Along which alpha descends, before a step of the weights."""

    def make_optimizers(self) -> list[torch.optim.Optimizer]:
        """One optimiser for the weights, one of the same kind for alpha."""
        learned = [*self.chain.parameters(), *self.weighting.parameters()]
        self._weights = [value for value in learned if value.requires_grad]
        of_alpha = self.make_optimizer(list(self.alpha))
        if self.alpha_rate is not None:
            for group in of_alpha.param_groups:
                group["lr"] = self.alpha_rate
        return [self.make_optimizer(self._weights), of_alpha]

    def learn_from_validation(self, train: Batch, valid: Batch) -> None:
        """One step of alpha on a validation batch; the weights stand still."""
        self._valid = valid
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        for alpha, value in zip(self.alpha, self.alpha_gradient(train, valid), strict=True):
            alpha.grad = value
        optimizers[1].step()

    def descend(self, batch: Batch) -> Tensor:
        """One gradient of the weights that still learn; alpha stands still."""
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
        """The candidate of the largest alpha of every task."""
        return tuple(
            names[int(alpha.argmax())]
            for names, alpha in zip(self.chain.names(), self.alpha, strict=True)
        )

    def chosen(self, scoring: Scoring, path: Path) -> Choice:
        """`path` with its score, or the best of all chains as SPOS ranks them.

        Where there are too many, the one that `exchange` reaches from `path`.
        """
        if not self.options.ranks:
            scores = scoring.rank(self.chain, [path])
        elif math.prod(map(len, self.chain.names())) <= MOST_RANKED:
            scores = scoring.rank(self.chain, self.chain.paths())
        else:
            scores = exchange(self.chain, path, scoring)
        return Choice(path=scores[0].path, scores=scores)

    def probabilities(self) -> Probabilities:
        """softmax(alpha)."""
        return self.by_name(self.shares())

    def epoch_record(self) -> dict[str, Any]:
        """Alpha, the tasks' gradients and weights, and 1 for each candidate that is frozen."""
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

    d/dalpha_ti = p_ti (E[L | c_t = i] - E[L]): linear in every p_t, so that its optima are single
    chains. A mixture gains by ensembling and hands on what no chain hands on; this does not. Kin:
    SNAS (arXiv:1812.09926), ASNG. Up to `options.chains` chains all are judged on each validation
    batch, by prefix; beyond, that many are drawn, with the mean of the others as each one's
    baseline, so that a step costs the same however many there are. The weights learn on uniformly
    drawn chains, as in SPOS: alpha starves no candidate. Dummies are judged, but not drawn where
    the task has another candidate: they have nothing to learn, and nothing can be learnt of them.
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
        """A chain, each with the same probability."""
        return self.chain.draw(self.generator, among=self._learners)

    def task_losses(self, batch: Batch, drawn: Path) -> tuple[list[Tensor], Tensor]:
        """Those of a single chain."""
        outputs = self.chain.run(batch, drawn)
        return self.chain.losses(outputs, batch), outputs[0]

    def alpha_gradient(self, train: Batch, valid: Batch) -> list[Tensor]:
        """That of the expected loss on the validation batch."""
        return self.gradient(valid)

    def gradient(self, batch: Batch) -> list[Tensor]:
        """That of the expected loss in alpha: exact, or from drawn chains."""
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
        """The expected loss; of too many chains the loss of the most probable one."""
        if self._all_paths is not None:
            return {"loss": self._expected(batch, self._all_paths)}
        return {"loss": self._losses(batch, [self.most_probable()])[0]}

    def select(self, scoring: Scoring) -> Choice:
        """The most probable chain, or the best of all as SPOS ranks them."""
        return self.chosen(scoring, self.most_probable())

    def _expected(self, batch: Batch, paths: Sequence[Path]) -> Tensor:
        value = self._losses(batch, paths).view([len(names) for names in self.chain.names()])
        for share in self.shares():
            value = torch.tensordot(share, value.to(share), dims=1)
        return value

    @torch.no_grad()
    def _losses(self, batch: Batch, paths: Sequence[Path]) -> Float[Tensor, " chain"]:
        """The loss that judges, of every one of `paths`."""
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
    """Scores of the chains met on the way from `path` to a chain that no exchange improves.

    Each step judges every chain that differs in one candidate, and takes the best: its time is
    linear in the number of candidates.
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
    """Unbiased gradient of the expected loss: 1/S sum_s (L_s - mean of the others) (1[c_s] - p)."""
    count = len(losses)
    above = (losses - losses.mean()) * count / (count - 1)
    gradients = []
    for task, share in enumerate(shares):
        chosen = nn.functional.one_hot(drawn[:, task], len(share)).to(share)
        gradients.append(above.to(share) @ (chosen - share) / count)
    return gradients
