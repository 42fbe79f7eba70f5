"""Searches that learn alpha: what they share, and the one by the expected loss over chains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, final

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from msnas.chain.chain import Path
from msnas.data.events import Batch
from msnas.methods.method import Choice, Probabilities, Search
from msnas.scoring import Scoring

if TYPE_CHECKING:
    from msnas.methods.darts import DARTS

ALPHA_RATE = 0.03
"""Of alpha, where the user gives none: it must move in the few steps of a small sample."""


class AlphaSearch(Search):
    """What learns alpha, one number per candidate of every task, on validation batches."""

    learns_from_validation: ClassVar[bool] = True
    start_counts: ClassVar[bool] = False

    def __init__(self, options: DARTS, *, alpha_rate: float | None, **of_stage: Any) -> None:
        super().__init__(**of_stage)
        self.options = options
        self.alpha_rate = alpha_rate
        self.alpha = nn.ParameterList(
            nn.Parameter(torch.zeros(len(of_task))) for of_task in self.chain.names()
        )

    def make_optimizers(self) -> list[torch.optim.Optimizer]:
        """One optimiser for the weights, one of the same kind for alpha."""
        learned = [*self.chain.parameters(), *self.weighting.parameters()]
        self._weights = [value for value in learned if value.requires_grad]
        of_alpha = self.make_optimizer(list(self.alpha))
        if self.alpha_rate is not None:
            for group in of_alpha.param_groups:
                group["lr"] = self.alpha_rate
        return [self.make_optimizer(self._weights), of_alpha]

    def step_of_alpha(self, gradient: Sequence[Tensor]) -> None:
        """One step of alpha along a gradient."""
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        for alpha, value in zip(self.alpha, gradient, strict=True):
            alpha.grad = value
        optimizers[1].step()

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
        """`path` with its score, or the best of all chains as SPOS ranks them."""
        ranked = self.options.selection == "rank"
        scores = scoring.rank(self.chain, self.chain.paths() if ranked else [path])
        return Choice(path=scores[0].path, scores=scores)

    def probabilities(self) -> Probabilities:
        """softmax(alpha)."""
        return self.by_name(self.shares())

    def epoch_record(self) -> dict[str, Any]:
        """Alpha, the tasks' gradients and weights."""
        names = [task.name for task in self.chain.supervised()]
        return {"alpha": self.by_name(list(self.alpha)), **self.weighting.take_record(names)}


@final
class ExpectedSearch(AlphaSearch):
    """min over alpha of E[L_valid(c)], the chain c drawn with p = softmax(alpha) for every task.

    d/dalpha_ti = p_ti (E[L | c_t = i] - E[L]): linear in every p_t, so that its optima are single
    chains. A mixture gains by ensembling and hands on what no chain hands on; this does not. Kin:
    SNAS (arXiv:1812.09926), ASNG. Up to `options.chains` chains all are judged on each validation
    batch, by prefix; beyond, that many are drawn, with the mean of the others as each one's
    baseline, so that a step costs the same however many there are. The weights learn on uniformly
    drawn chains, as in SPOS: alpha starves no candidate.
    """

    def __init__(self, options: DARTS, **of_stage: Any) -> None:
        super().__init__(options, alpha_rate=options.alpha_rate or ALPHA_RATE, **of_stage)
        few = math.prod(map(len, self.chain.names())) <= options.chains
        self._all_paths = self.chain.paths() if few else None

    def descend(self, batch: Batch) -> Tensor:
        """The gradient of a uniformly drawn chain; alpha stands still."""
        outputs = self.chain.run(batch, self.chain.draw(self.generator))
        losses = self.chain.losses(outputs, batch)
        return self.weighting.descend(losses, shared=outputs[0], backward=self.manual_backward)

    def learn_from_validation(self, train: Batch, valid: Batch) -> None:
        """One step of alpha on a validation batch; the weights stand still."""
        self.step_of_alpha(self.gradient(valid))

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
