"""Files with values of every event: outputs on test events, losses on validation events."""

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
"""Most values per event of an input that is written; larger inputs (images) are left out."""

MOST_CHAINS = 100
"""Number of best-ranked chains whose losses of every event are written."""


def write_outputs(
    path: Path,
    chain: Chain,
    events: Events,
    outputs: Mapping[str, Tensor],
    *,
    attributes: Mapping[str, str],
) -> None:
    """Write the test events to an HDF5 file, in physical units and the detector's frame.

    The data sets, all with the events in the same order: `<task>/output` of every task,
    `<task>/target` if the task has a truth, `<task>/counts` if it has `counts`;
    `inputs/<field>` for inputs of at most LARGEST_INPUT numbers; `weight` if events have weights;
    `event`, the events' places in the source, if they are one of several folds.
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
    """Indices of the ranked chains whose losses of every event are written, the best chain first.

    Chains with a loss that is not finite are left out.
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
    """Write the loss of every validation event, for ranked chains and the trained selected chain.

    `loss` [chain, event] is the weighted loss of each event, including the event's weight; a chain
    is ranked by its mean. `chain` [chain] are indices into `ranked`; the last one, len(ranked), is
    `selected`. The losses are float32, as computed: float16 would be precise enough for means, but
    loses values above 65,504 and below 6e-8. gzip saves a tenth.
    """
    places = [*kept_chains(ranked), len(ranked)]
    scores = [*ranked, selected]
    losses = torch.stack([scores[place].event_losses for place in places]).float().numpy()
    with whole(path) as new, h5py.File(new, "w") as file:
        file.attrs.update(attributes)
        file.create_dataset("chain", data=np.array(places, dtype=np.int32))
        chunks = (1, losses.shape[1])
        file.create_dataset("loss", data=losses, chunks=chunks, compression="gzip", shuffle=True)
