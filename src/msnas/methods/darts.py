"""Differentiable architecture search (DARTS) over chains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from msnas.chain.chain import Chain
from msnas.data.events import Batch
from msnas.errors import ConfigError
from msnas.methods.alpha import AlphaSearch, ExpectedSearch
from msnas.methods.method import Choice, SearchMethod, has_dummies
from msnas.methods.perturbation import perturbation_path
from msnas.scoring import Scoring
from msnas.weighting.weighting import Weighting


@final
@dataclass(frozen=True, kw_only=True)
class DARTS(SearchMethod):
    """Learns alpha, a number per candidate, on validation batches; the weights on training batches.

    Liu et al., arXiv:1806.09055; for chains of tasks: paper, section 3.1 and Algorithm 1. Before
    each step of the weights on a training batch, alpha takes a step on a validation batch. The loss
    that both minimise depends on `relaxation`:

    * `"expected"`: the mean loss of chains drawn by their probability (see `ExpectedSearch`, which
      reads `chains`);
    * `"softmax"`, as in the paper: the loss of a mixture by softmax(alpha),
      sum_t v_t (L_t(mixture) + epsilon sum_i L_t(candidate i)), whose second term keeps every
      candidate near its target;
    * `"gumbel"`: the same by a Gumbel-softmax whose temperature falls geometrically between the two
      `temperatures`.

    For a mixture, `order=1` computes alpha's gradient at the current weights. `order=2` computes it
    at weights one plain gradient step ahead, w' = w - xi grad_w L_train(w), and adds the term
    -xi grad_alpha grad_w L_train . grad_w' L_valid, by a central difference of step
    0.01 / |grad_w' L_valid|. `xi` null takes the optimiser's learning rate. Unlike the paper's
    published code, the weights are restored from a copy, not an alias of themselves, and both sides
    of the difference see the same random draws.

    `alpha_rate` is alpha's learning rate. Null means 0.03; for a mixture it means the weights' rate
    as in the paper, or `dummy_alpha_rate` if a candidate is a dummy. A small sample has few steps
    per epoch; a slow alpha then keeps a dummy in the mixture until the other candidates overtrain,
    and `zeros` wins a classification by tempering their logits (docs/results.md).

    `selection="rank"` takes the best of all chains at the final weights, `"argmax"` the largest
    alpha of each task; null means `rank`, for a mixture `argmax`. `"perturbation"` takes the
    candidates without which a mixture's loss is highest (arXiv:2108.04392). A number for `freeze`
    is the threshold of `Freezing`: candidates stop learning once they overfit.
    """

    selection_settings: ClassVar[frozenset[str]] = frozenset({"selection"})

    alpha_rate: float | None = None
    dummy_alpha_rate: float | None = 0.03
    order: int = 1
    xi: float | None = None
    epsilon: float = 1.0
    selection: str | None = None
    relaxation: str = "expected"
    temperatures: Sequence[float] = (1.0, 0.1)
    chains: int = 16
    freeze: float | None = None

    def __post_init__(self) -> None:
        """Raise ConfigError for an option with a value that is not allowed."""
        for key, value, allowed in (
            ("order", self.order, (1, 2)),
            ("selection", self.selection, (None, "argmax", "perturbation", "rank")),
            ("relaxation", self.relaxation, ("softmax", "gumbel", "expected")),
        ):
            if value not in allowed:
                raise ConfigError(f"method.{key}: expected one of {allowed}, found {value!r}")
        if not isinstance(self.epsilon, int | float) or self.epsilon < 0:
            raise ConfigError(f"method.epsilon: expected a number >= 0, found {self.epsilon!r}")
        if type(self.chains) is not int or self.chains < 2:
            raise ConfigError(f"method.chains: expected a number >= 2, found {self.chains!r}")
        if self.relaxation == "expected" and self.order == 2:
            raise ConfigError("method.order: 2 needs a mixture; use method.relaxation=softmax")
        if self.relaxation == "expected" and self.selection == "perturbation":
            raise ConfigError(
                "method.selection: perturbation needs a mixture; use argmax or rank, or "
                "method.relaxation=softmax"
            )
        temperatures = self.temperatures
        if (
            not isinstance(temperatures, list | tuple)
            or len(temperatures) != 2
            or min(temperatures) <= 0
        ):
            raise ConfigError(f"method.temperatures: expected two > 0, found {temperatures}")
        if self.freeze is not None and not -1 <= self.freeze <= 1:
            raise ConfigError(
                f"method.freeze: expected a cosine between -1 and 1 or null, found {self.freeze!r}"
            )
        for key in ("alpha_rate", "dummy_alpha_rate"):
            if (rate := getattr(self, key)) is not None and rate <= 0:
                raise ConfigError(f"method.{key}: expected > 0 or null, found {rate}")

    @property
    def ranks(self) -> bool:
        """Whether the best of all chains is selected by its validation loss."""
        default = "rank" if self.relaxation == "expected" else "argmax"
        return (self.selection or default) == "rank"

    def check(self, chain: Chain, weighting: Weighting) -> None:
        """Raise ConfigError for a weighting that does not work with these options."""
        if self.freeze is not None and weighting.looks_back:
            raise ConfigError(
                "method.freeze: not together with a weighting that looks at a step once more, such "
                "as famo"
            )
        if self.relaxation == "expected":
            return
        if weighting.uses_gradients:
            raise ConfigError(
                f"weighting: {type(weighting).__name__} needs one output through which all losses "
                "reach the first task; in a mixture of method=darts each candidate has a loss of "
                "its own; use method.relaxation=expected, or weighting=fixed or one of losses "
                "alone, such as uncertainty"
            )
        if self.order == 2 and not weighting.takes_task_weights:
            raise ConfigError("method.order: 2 needs weighting=fixed; use method.order=1")

    def search(self, **of_stage: Any) -> DARTSSearch | ExpectedSearch:
        """The training of alpha, and of a mixture or of chains."""
        if self.relaxation == "expected":
            return ExpectedSearch(self, **of_stage)
        return DARTSSearch(self, **of_stage)


@final
class DARTSSearch(AlphaSearch):
    """The training of DARTS's super-network, a mixture of candidates, and of alpha."""

    def __init__(self, options: DARTS, **of_stage: Any) -> None:
        super().__init__(options, alpha_rate=options.alpha_rate, **of_stage)
        if self.alpha_rate is None and has_dummies(self.chain):
            self.alpha_rate = options.dummy_alpha_rate

    def supernet_loss(self, batch: Batch, shares: Sequence[Tensor]) -> Tensor:
        """sum_t v_t (L_t(mixture) + epsilon sum_i L_t(candidate i))."""
        return self.weighting.combine(self.task_losses(batch, shares)[0])

    def drawn(self) -> list[Tensor]:
        """The shares of the candidates in the mixture, detached from alpha."""
        return [share.detach() for share in self._drawn_shares()]

    def task_losses(self, batch: Batch, drawn: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Every task's L_t(mixture) + epsilon sum_i L_t(candidate i); the first task's mixture."""
        mixtures, singles = self.chain.mix(batch, drawn)
        losses = []
        for task, mixture, of_task in zip(self.chain.tasks, mixtures, singles, strict=True):
            if not task.supervised:
                continue
            loss = task.mean_loss(mixture, batch)
            for output in of_task:
                loss = loss + self.options.epsilon * task.mean_loss(output, batch)
            losses.append(loss)
        return losses, mixtures[0]

    def alpha_gradient(self, train: Batch, valid: Batch) -> list[Tensor]:
        """Alpha's gradient of the validation loss; with `order=2` at weights one step ahead."""
        if self.options.order == 1:
            return self._gradient(valid, list(self.alpha))
        xi = self.options.xi
        if xi is None:
            xi = self.weight_optimizer().param_groups[0]["lr"]
        return self.unrolled_gradient(train, valid, xi=xi)

    def unrolled_gradient(self, train: Batch, valid: Batch, *, xi: float) -> list[Tensor]:
        """Gradient of L_valid(w - xi grad_w L_train(w, alpha), alpha) in alpha."""
        weights = self._weights
        draws = int(torch.randint(2**62, (), generator=self.generator))
        before = [weight.detach().clone() for weight in weights]
        slopes = self._gradient(train, weights, draws=draws)
        ahead_weights = [one - xi * slope for one, slope in zip(before, slopes, strict=True)]
        self._set(weights, ahead_weights)
        both = self._gradient(valid, [*self.alpha, *weights])
        direct, ahead = both[: len(self.alpha)], both[len(self.alpha) :]
        norm = torch.cat([value.flatten() for value in ahead]).norm()
        if norm == 0:
            self._set(weights, before)
            return direct
        step = 0.01 / norm
        sides = []
        for sign in (1, -1):
            moved = [
                value + sign * step * slope for value, slope in zip(before, ahead, strict=True)
            ]
            self._set(weights, moved)
            sides.append(self._gradient(train, list(self.alpha), draws=draws))
        self._set(weights, before)
        return [
            value - xi * (plus - minus) / (2 * step)
            for value, plus, minus in zip(direct, *sides, strict=True)
        ]

    def validate_batch(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted loss of the mixture, and the loss of every task."""
        mixtures, _ = self.chain.mix(batch, self.shares())
        losses = self.chain.losses(mixtures, batch)
        return {"loss": self.weighting.combine(losses), **self.chain.own_losses(losses)}

    def select(self, scoring: Scoring) -> Choice:
        """The chain selected as `selection` says, with its scores."""
        path = self.most_probable()
        if self.options.selection == "perturbation":
            path = perturbation_path(
                self.chain,
                scoring.spread_validation(),
                alpha=[alpha.detach() for alpha in self.alpha],
                weighting=self.weighting,
                batch=scoring.batch,
            )
        return self.chosen(scoring, path)

    def _drawn_shares(self) -> list[Tensor]:
        """softmax(alpha), or a draw of the Gumbel-softmax around it."""
        if self.options.relaxation == "softmax":
            return self.shares()
        last = max((self.trainer.max_epochs or 1) - 1, 1)
        first, second = self.options.temperatures
        temperature = first * (second / first) ** (self.current_epoch / last)
        shares = []
        for alpha in self.alpha:
            uniform = torch.rand(len(alpha), generator=self.generator).clamp(1e-20, 1 - 1e-7)
            gumbel = -torch.log(-torch.log(uniform)).to(alpha.device, non_blocking=True)
            shares.append(((alpha + gumbel) / temperature).softmax(0))
        return shares

    def _gradient(
        self, batch: Batch, of: Sequence[Tensor], *, draws: int | None = None
    ) -> list[Tensor]:
        """Gradient of the super-network's loss; equal `draws` make equal random draws."""
        with torch.random.fork_rng(enabled=draws is not None):
            state = self.generator.get_state()
            if draws is not None:
                torch.manual_seed(draws)
                self.generator.manual_seed(draws)
            loss = self.supernet_loss(batch, self._drawn_shares())
            if draws is not None:
                self.generator.set_state(state)
        values = torch.autograd.grad(loss, list(of), allow_unused=True)
        return [
            torch.zeros_like(one) if value is None else value
            for one, value in zip(of, values, strict=True)
        ]

    @staticmethod
    @torch.no_grad()
    def _set(weights: Sequence[Tensor], values: Sequence[Tensor]) -> None:
        for weight, value in zip(weights, values, strict=True):
            weight.copy_(value)
