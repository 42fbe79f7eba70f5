"""Task weights that bring the tasks' gradients to comparable norms."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from msnas.weighting.conflict import shared_gradients
from msnas.weighting.weighting import Weighting, check_number

log = logging.getLogger("msnas")


@final
class GradNorm(Weighting):
    """Descends sum_t w_t L_t; w follows sum_t |G_t - mean(G) r_t^alpha|, G_t = w_t |grad L_t|.

    Chen et al., arXiv:1711.02257, Algorithm 1. r_t = (L_t / L_t(0)) over its mean: a task that
    learns slowly may pull harder; L_t(0) is the loss of a training's first step. sum_t w_t is the
    number of tasks. Differs from the paper in two points:

    * The norm is that of the gradient in the output of the shared layers, not in the weights of
      the last shared layer: this saves a backward pass through these layers for each task.
    * A step is `rate` times the slope in log w_t, in units of mean(G). Plain steps of w_t, whose
      slope is |grad L_t| itself, overshoot to below 0 where the norms are far apart.

    Weights of tasks whose loss does not depend on the shared output stay as they are.
    """

    uses_gradients: ClassVar[bool] = True

    initial_losses: Tensor
    task_weights: Tensor

    def __init__(self, *, alpha: float = 1.5, rate: float = 0.025) -> None:
        super().__init__()
        self.alpha = check_number(alpha, key="weighting.alpha", above=0, inclusive=True)
        self.rate = check_number(rate, key="weighting.rate", above=0)
        self._said = False

    def _prepare(self, tasks: int) -> None:
        self.register_buffer("initial_losses", torch.full((tasks,), torch.nan))
        self.register_buffer("task_weights", torch.ones(tasks))

    def _step(
        self,
        losses: Sequence[Tensor],
        *,
        shared: Tensor,
        backward: Callable[[Tensor], None],
        share: float,
    ) -> Tensor:
        gradients = shared_gradients(losses, shared)
        weights, stacked = self.task_weights, torch.stack(list(losses))
        loss = share * (weights * stacked).sum()
        if loss.requires_grad:
            backward(loss)
        norms = [weights.new_zeros(()) if one is None else one.norm() for one in gradients]
        if sum(one is not None for one in gradients) > 1:
            self._follow(stacked.detach().to(weights), torch.stack(norms).to(weights))
        elif not self._said:
            self._said = True
            log.info(
                "weighting: fewer than two tasks depend on what the first task's candidate learns; "
                "with such candidates the weights stay as they are"
            )
        return weights

    @torch.no_grad()
    def _follow(self, losses: Float[Tensor, " task"], norms: Float[Tensor, " task"]) -> None:
        """Move the task weights by one step."""
        self.initial_losses = torch.where(self.initial_losses.isnan(), losses, self.initial_losses)
        pull = self.task_weights * norms
        there = (pull > 0).to(pull)
        mean = (pull * there).sum() / there.sum()
        if not mean > 0:
            return
        progress = losses / self.initial_losses.clamp_min(torch.finfo(losses.dtype).eps)
        progress = progress / ((progress * there).sum() / there.sum())
        slope = torch.sign(pull - mean * progress**self.alpha) * pull / mean
        moved = self.task_weights * torch.exp(-self.rate * slope)
        kept = (self.task_weights * there).sum() / (moved * there).sum()
        self.task_weights = torch.where(there > 0, moved * kept, self.task_weights)
