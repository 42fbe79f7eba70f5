"""What a run keeps of every event: outputs of the test part, losses of the validation part."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from msnas.chain.chain import Chain
from msnas.data.events import Events
from msnas.evaluation.evaluate import ChainScore
from msnas.storage import whole

LARGEST_INPUT = 32
"""Values per event of an input that is kept; images stay in the data file."""

MOST_CHAINS = 100
"""Ranked chains, the best ones, whose losses of every event are kept."""


def write_outputs(
    path: Path,
    chain: Chain,
    events: Events,
    outputs: Mapping[str, Tensor],
    *,
    attributes: Mapping[str, str],
) -> None:
    """Write the test events to an HDF5 file, in the units a user reads and the detector's frame.

    `<task>/output` and `<task>/target` for every task (the latter if it has a truth), and
    `<task>/counts` where some objects of an event do not count;
    `inputs/<field>` for the inputs of few numbers (at most LARGEST_INPUT), `weight` where events
    have one, `event` for their places in the source where they are one fold of several; events in
    one order.
    """
    tasks = chain.tasks
    test = events.in_detector(events.test)
    arrays = {"weight": test["weight"]} if "weight" in test else {}
    for name in sorted(chain.reads(truths=False)):
        field = events.fields[name]
        if math.prod(field.shape) <= LARGEST_INPUT:
            arrays[f"inputs/{name}"] = field.decode(test[name])
    for task in tasks:
        arrays[f"{task.name}/output"] = task.prediction(task.scored(outputs[task.name]))
        if task.supervised:
            arrays[f"{task.name}/target"] = task.truth(test[task.target])
        if (counting := task.counting(test)) is not None:
            arrays[f"{task.name}/counts"] = counting.to(torch.uint8)
    with whole(path) as new, h5py.File(new, "w") as file:
        file.attrs.update(attributes)
        for name, values in arrays.items():
            file.create_dataset(name, data=values.detach().cpu().numpy())
        if events.origin is not None and events.origin.fold is not None:
            file.create_dataset("event", data=events.origin.indices["test"])


def kept_chains(scores: Sequence[ChainScore]) -> list[int]:
    """Places of the ranked chains whose losses of every event are kept, the best first.

    A chain with a loss that is not finite is none of them.
    """
    finite = [
        place for place, score in enumerate(scores) if bool(score.event_losses.isfinite().all())
    ]
    return sorted(finite, key=lambda place: scores[place].ranked_by)[:MOST_CHAINS]


def write_losses(
    path: Path,
    ranked: Sequence[ChainScore],
    selected: ChainScore,
    *,
    attributes: Mapping[str, str],
) -> None:
    """Write the loss of every validation event, for ranked chains and the trained selected one.

    `loss` [chain, event] is what a chain is judged by before the mean over the events: weighted,
    with the events' own weights; `chain` [chain] are places among `ranked`, and behind them that of
    `selected`. Float32, as they were computed: half of the digits would do for means, but would
    lose losses beyond 65,504 and below 6e-8. gzip saves a tenth.
    """
    places = [*kept_chains(ranked), len(ranked)]
    scores = [*ranked, selected]
    losses = torch.stack([scores[place].event_losses for place in places]).float().numpy()
    with whole(path) as new, h5py.File(new, "w") as file:
        file.attrs.update(attributes)
        file.create_dataset("chain", data=np.array(places, dtype=np.int32))
        chunks = (1, losses.shape[1])
        file.create_dataset("loss", data=losses, chunks=chunks, compression="gzip", shuffle=True)
