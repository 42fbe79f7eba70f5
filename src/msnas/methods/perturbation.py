"""Selects from a trained mixture the candidates without which its loss rises most."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from msnas.chain.chain import Chain, Path
from msnas.data.events import Batch
from msnas.data.module import batches, event_count
from msnas.weighting.weighting import Weighting


@torch.no_grad()
def perturbation_path(
    chain: Chain,
    valid: Batch,
    *,
    alpha: Sequence[Tensor],
    weighting: Weighting,
    batch: int,
) -> Path:
    """Per task, the candidate without which the mixture's validation loss is highest.

    Wang et al., arXiv:2108.04392, Algorithm 1, with tasks in the order of the chain and without
    fine-tuning between decisions. Decided tasks run the chosen candidate alone; later tasks stay
    mixed by softmax(alpha). If a candidate is left out, the softmax is over the other candidates.
    The candidates of a task run only once for all of these trials.
    """
    chain.eval()
    shares = [one.softmax(0) for one in alpha]
    path: list[str] = []
    for level, names in enumerate(chain.names()):
        if len(names) == 1:
            path.append(names[0])
            continue
        without = [
            alpha[level].index_fill(
                0, torch.tensor(left_out, device=alpha[level].device), -torch.inf
            )
            for left_out in range(len(names))
        ]
        trials = torch.zeros(len(names), dtype=torch.float64)
        for events in batches(valid, batch):
            moved = {name: value.to(alpha[level].device) for name, value in events.items()}
            values, losses = chain.start(moved), []
            for before, name in enumerate(path):
                task = chain.tasks[before]
                output = task.output.finish(chain.apply_candidate(before, name, values))
                if task.supervised:
                    losses.append(task.mean_loss(output, moved))
                values = chain.hand_on(before, output, values)
            raw = [chain.apply_candidate(level, name, values) for name in names]
            for index, left in enumerate(without):
                rest = _losses_from(chain, level, raw, left.softmax(0), values, shares, moved)
                trials[index] += float(weighting.combine([*losses, *rest])) * event_count(events)
        path.append(names[int(trials.argmax())])
    return tuple(path)


def _losses_from(
    chain: Chain,
    level: int,
    raw: Sequence[Tensor],
    share: Tensor,
    values: dict[str, Tensor],
    shares: Sequence[Tensor],
    batch: Batch,
) -> list[Tensor]:
    """Losses of the mixture's tasks from `level` on; `raw` and `share` belong to task `level`."""
    losses = []
    for now in range(level, len(chain.tasks)):
        if now > level:
            raw = [chain.apply_candidate(now, name, values) for name in chain.names()[now]]
            share = shares[now]
        mixture = chain.finish_mixture(now, raw, share)
        if chain.tasks[now].supervised:
            losses.append(chain.tasks[now].mean_loss(mixture, batch))
        values = chain.hand_on(now, mixture, values)
    return losses
