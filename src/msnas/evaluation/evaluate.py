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
    """One chain's numbers: `loss` (weighted), and `<task>/loss`, `<task>/<metric>` of each task.

    `losses` are the weighted ones at every point of a conditioning, `values` those at one of them.
    `event_losses` [event] are the parts whose mean is what the chain is ranked by. `shifted` is
    what it would be ranked by under each shift of the inputs, if there are any, `sigma` the
    uncertainty of a signal strength, if that is measured.
    """

    path: Path
    values: Mapping[str, Any]
    event_losses: Tensor = field(compare=False, repr=False)
    losses: tuple[float, ...] = ()
    shifted: Mapping[str, float] = field(default_factory=dict)
    sigma: float | None = None

    @property
    def worst(self) -> float:
        """The largest loss: of the events as they are, and under each shift."""
        return max((self.ranked_by, *self.shifted.values()))

    @property
    def ranked_by(self) -> float:
        """The weighted loss; its mean over the points of a conditioning, if there is one.

        The mean orders chains as their mean regret does.
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

    By prefix: a task's candidate runs once per choice of the candidates before it, and losses
    and metrics of a task are computed once per such choice.
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
    """The scores from what `collect_outputs` gave."""
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
    """Finished outputs of all events, for every prefix of `paths`.

    Random draws, as of the dummy `noise`, are the same in every evaluation.
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
