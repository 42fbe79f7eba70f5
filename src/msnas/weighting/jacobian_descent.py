"""The gradients of the tasks joined by an aggregator of torchjd."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.graph import Node
from torchjd import Stateful
from torchjd.aggregation import Aggregator, WeightedAggregator
from torchjd.autojac import jac_to_grad, mtl_backward

from msnas.weighting.library import check, kept, made, restore
from msnas.weighting.weighting import Weighting

log = logging.getLogger("msnas")

KEY = "weighting.aggregator"


@final
class JacobianDescent(Weighting):
    """The first task's parameters follow `aggregator`, all others the mean loss.

    Quinton & Rey, arXiv:2406.16232; Sener & Koltun, arXiv:1810.04650. Rows of the Jacobian are the
    tasks' gradients in the parameters of the first task's candidate; only these parameters serve
    several tasks. A task whose loss does not depend on the first task's output has no row.

    An aggregator that weighs rows sees the Jacobian at norm 1, so that a solver's absolute
    tolerances mean the same early and late in a training; an aggregator that compares steps sees
    unscaled gradients. Each set of rows and number of parameters has an aggregator of its own.
    """

    makes_itself: ClassVar[tuple[str, ...]] = ("aggregator",)
    uses_gradients: ClassVar[bool] = True

    def __init__(self, *, aggregator: Any) -> None:
        super().__init__()
        self._settings = aggregator
        self._aggregators: dict[tuple[int, ...], Aggregator] = {}
        self._kept: dict[tuple[int, ...], Any] = {}
        self._part = 1.0
        self._said = False

    def _prepare(self, tasks: int) -> None:
        # not square, or it could be taken for a Gramian
        check(self._settings, KEY, Aggregator, on=torch.eye(tasks, tasks + 1))

    def kept(self) -> dict[tuple[int, ...], Any]:
        """The state of each aggregator, by rows and number of parameters."""
        found = {key: kept(one) for key, one in self._aggregators.items()}
        return {**self._kept, **{key: one for key, one in found.items() if one}}

    def restore(self, state: Any) -> None:
        """Give each aggregator its state back once it is made."""
        self._kept = dict(state)

    def _aggregator(self, rows: Sequence[int], parameters: Sequence[Tensor]) -> Aggregator:
        key = (*rows, sum(one.numel() for one in parameters))
        if key in self._aggregators:
            return self._aggregators[key]
        tasks, like = len(self.weights), parameters[0]
        one = made(self._settings, KEY, Aggregator, tasks=tasks, rows=rows, like=like)
        if key in self._kept:
            restore(one, self._kept.pop(key))
        if isinstance(one, WeightedAggregator):
            size = self._true_size if isinstance(one, Stateful) else norm_1
            one.weighting.register_forward_pre_hook(size)
        last = one.weighting if isinstance(one, WeightedAggregator) else one
        last.register_forward_hook(times_rows)
        self._aggregators[key] = one
        return one

    def _true_size(self, _: object, rows: tuple[Tensor]) -> Tensor:
        return rows[0] / self._part

    def _step(
        self,
        losses: Sequence[Tensor],
        *,
        shared: Tensor,
        backward: Callable[[Tensor], None],
        share: float,
    ) -> Tensor | None:
        count = len(losses)
        weights = torch.full((count,), 1 / count, dtype=losses[0].dtype, device=shared.device)
        graphs = [graph_behind(loss, until=shared) for loss in losses]
        rows = [index for index, graph in enumerate(graphs) if shared.grad_fn in graph]
        if len(rows) < 2:
            if not self._said:
                self._said = True
                log.info(
                    "weighting: fewer than two tasks depend on what the first task's candidate "
                    "learns; with such candidates all losses weigh the same"
                )
            self._plain(losses, backward=backward, share=share)
            return weights
        parts = [loss * (share / count) for loss in losses]
        parameters = leaves(graph_behind(shared))
        mtl_backward(
            [parts[index] for index in rows],
            features=shared,
            tasks_params=[leaves(graphs[index]) for index in rows],
            shared_params=parameters,
            retain_graph=True,  # later tasks share parts of the graph
            parallel_chunk_size=1,  # torch.vmap takes no recurrent layers
        )
        self._part = share / count
        used = jac_to_grad(parameters, self._aggregator(rows, parameters))
        alone = [part for index, part in enumerate(parts) if index not in rows]
        if alone and (rest := torch.stack(alone).sum()).requires_grad:
            backward(rest)
        if used is None:
            return None
        weights[rows] = used.to(weights) / count
        return weights


def norm_1(_: object, rows: tuple[Float[Tensor, "task parameter"]]) -> Tensor:
    """The Jacobian scaled to norm 1, for an aggregator that weighs its rows."""
    norm: Tensor = rows[0].norm()
    return rows[0] / norm.clamp_min(torch.finfo(rows[0].dtype).tiny)


def times_rows(_: object, rows: tuple[Float[Tensor, "task parameter"]], joined: Tensor) -> Tensor:
    """The joined gradient, or the weights, times the number of rows: rows are parts of a mean."""
    return len(rows[0]) * joined


def graph_behind(tensor: Tensor, *, until: Tensor | None = None) -> dict[Node, None]:
    """The nodes of the autograd graph behind `tensor`, in a fixed order; not beyond `until`."""
    end = None if until is None else until.grad_fn
    found: dict[Node, None] = {}
    waiting = [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found[node] = None
            if node is not end:
                waiting.extend(following for following, _ in node.next_functions)
    return found


def leaves(graph: Iterable[Node]) -> list[Tensor]:
    """The parameters in a graph."""
    return [node.variable for node in graph if hasattr(node, "variable")]
