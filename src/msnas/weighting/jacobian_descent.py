"""The gradients of the tasks joined by an aggregator of torchjd."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, final

import torch
import torchjd.aggregation
from jaxtyping import Float
from torch import Tensor
from torch.autograd.graph import Node
from torchjd import Stateful
from torchjd.aggregation import WeightedAggregator
from torchjd.autojac import jac_to_grad, mtl_backward

from msnas.errors import ConfigError
from msnas.weighting.weighting import Weighting

log = logging.getLogger("msnas")


@final
class JacobianDescent(Weighting):
    """The first task's parameters follow `aggregator`, all others the mean loss.

    Quinton & Rey, arXiv:2406.16232; Sener & Koltun, arXiv:1810.04650. Rows of the Jacobian are the
    tasks' gradients in the parameters of the first task's candidate, the only ones that serve
    several tasks. The aggregator weighs the rows of the Jacobian at norm 1, so that a solver's
    absolute tolerances mean the same early and late in a training. A task whose loss does not
    depend on the first task's output has no row.
    """

    uses_gradients: ClassVar[bool] = True

    def __init__(self, *, aggregator: Any) -> None:
        super().__init__()
        if not isinstance(aggregator, WeightedAggregator) or isinstance(aggregator, Stateful):
            raise ConfigError(
                "weighting.aggregator: expected one of torchjd.aggregation that gives each "
                "gradient a weight and keeps no state, such as torchjd.aggregation.MGDA, found "
                f"{aggregator!r}"
            )
        self._name = repr(aggregator)
        self.aggregator = WeightedAggregator(ScaleFree(aggregator.weighting))
        self._said = False

    def _prepare(self, tasks: int) -> None:
        try:
            with torch.random.fork_rng(devices=[]):
                self.aggregator(torch.eye(tasks))
        except ValueError as error:
            raise ConfigError(f"weighting.aggregator: {self._name}: {error}") from error

    def _step(
        self,
        losses: Sequence[Tensor],
        *,
        shared: Tensor,
        backward: Callable[[Tensor], None],
        share: float,
    ) -> Tensor:
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
        used = jac_to_grad(parameters, self.aggregator)
        weights[rows] = used.to(weights) / count
        alone = [part for index, part in enumerate(parts) if index not in rows]
        if alone and (rest := torch.stack(alone).sum()).requires_grad:
            backward(rest)
        return weights


@final
class ScaleFree(torchjd.aggregation.Weighting[Any]):
    """Weights of the Jacobian at norm 1, times the tasks' number: rows are parts of a mean."""

    def __init__(self, weigh: torchjd.aggregation.Weighting[Any]) -> None:
        super().__init__()
        self.weigh = weigh

    def forward(self, rows: Float[Tensor, "task parameter"], /) -> Float[Tensor, " task"]:
        """Weights of the gradients `rows`."""
        weights: Tensor = self.weigh(rows / rows.norm().clamp_min(torch.finfo(rows.dtype).tiny))
        return len(rows) * weights


def graph_behind(tensor: Tensor, *, until: Tensor | None = None) -> dict[Node, None]:
    """The graph that `tensor` was computed by, in a fixed order; not beyond `until`."""
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
