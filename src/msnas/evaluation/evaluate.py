"""Losses and metrics of chains on one part of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from msnas.chain.chain import Chain, Path
from msnas.data.events import Batch
from msnas.data.module import batches
from msnas.weighting.weighting import Weighting


@dataclass(frozen=True, kw_only=True)
class ChainScore:
    """Losses and metrics of one chain on one part of the data.

    `values` has `loss` (weighted) and, of each task, `<task>/loss` and `<task>/<metric>`. With a
    conditioning, `losses` are the weighted losses at all its points; `values` belongs to one point.
    The mean of `event_losses` [event] is `ranked_by`. `shifted` is `ranked_by` under each shift of
    the inputs, if any; `sigma` is the uncertainty of a signal strength, if that is measured.
    """

    path: Path
    values: Mapping[str, Any]
    event_losses: Tensor = field(compare=False, repr=False)
    losses: tuple[float, ...] = ()
    shifted: Mapping[str, float] = field(default_factory=dict)
    sigma: float | None = None

    @property
    def worst(self) -> float:
        """The largest of the losses on unshifted events and under each shift."""
        return max((self.ranked_by, *self.shifted.values()))

    @property
    def ranked_by(self) -> float:
        """The weighted loss, or its mean over the points of a conditioning.

        This mean gives the same order of chains as their mean regret.
        """
        return fmean(self.losses) if self.losses else float(self.values["loss"])


@torch.no_grad()
def evaluate(
    chain: Chain,
    part: Batch,
    *,
    paths: Sequence[Path],
    weighting: Weighting,
    batch: int,
) -> list[ChainScore]:
    """Scores of the chains `paths` on all events of `part`, in the order given.

    Chains with the same first candidates share computations: a candidate runs once per choice of
    the candidates before it, and the losses and metrics of its task are computed once as well.
    """
    outputs = collect_outputs(chain, part, paths=paths, batch=batch)
    return score_outputs(chain, part, outputs, paths=paths, weighting=weighting)


@torch.no_grad()
def score_outputs(
    chain: Chain,
    part: Batch,
    outputs: Mapping[Path, Tensor],
    *,
    paths: Sequence[Path],
    weighting: Weighting,
) -> list[ChainScore]:
    """Scores of the chains `paths` from the outputs that `collect_outputs` returned."""
    device = next(iter(outputs.values())).device
    truths = {name for task in chain.tasks for name in task.truths}
    inputs = chain.reads(truths=False) - truths
    whole = {name: value.to(device) for name, value in part.items() if name not in inputs}
    each: dict[Path, Tensor] = {}
    losses: dict[Path, Tensor] = {}
    values: dict[Path, dict[str, Any]] = {}
    for prefix, output in outputs.items():
        task = chain.tasks[len(prefix) - 1]
        if not task.supervised:
            values[prefix] = {}
            continue
        each[prefix] = task.event_losses(output, whole)
        losses[prefix] = each[prefix].mean()
        values[prefix] = {
            f"{task.name}/loss": float(losses[prefix]),
            **task.measure(output, whole),
        }
    scores = []
    for path in paths:
        prefixes = [path[: level + 1] for level in range(len(path))]
        judged = [prefix for prefix in prefixes if prefix in losses]
        loss = weighting.combine([losses[prefix] for prefix in judged])
        own = {name: value for prefix in prefixes for name, value in values[prefix].items()}
        scores.append(
            ChainScore(
                path=path,
                values={"loss": float(loss), **own},
                event_losses=weighting.combine([each[prefix] for prefix in judged]).cpu(),
            )
        )
    return scores


@torch.no_grad()
def collect_outputs(
    chain: Chain, part: Batch, *, paths: Sequence[Path], batch: int
) -> dict[Path, Tensor]:
    """Finished outputs for all events, for every prefix of `paths`.

    Random draws, such as those of the dummy `noise`, are the same in every evaluation.
    """
    device = next((value.device for value in chain.parameters()), torch.device("cpu"))
    chain.eval()
    pieces: dict[Path, list[Tensor]] = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for number, events in enumerate(batches(part, batch)):
            moved = {name: value.to(device) for name, value in events.items()}
            for path, outputs in chain.walk(moved, paths):
                for level, output in enumerate(outputs):
                    piece = pieces.setdefault(path[: level + 1], [])
                    if len(piece) == number:
                        piece.append(output)
    return {prefix: torch.cat(piece) for prefix, piece in pieces.items()}
