"""What a selected chain puts out for the test events, kept in the run directory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import h5py
from torch import Tensor

from msnas.chain.chain import Chain
from msnas.data.events import Events
from msnas.storage import whole

LARGEST_INPUT = 32
"""Values per event of an input that is kept; images stay in the data file."""


def write_outputs(
    path: Path,
    chain: Chain,
    events: Events,
    outputs: Mapping[str, Tensor],
    *,
    attributes: Mapping[str, str],
) -> None:
    """Write the test events to an HDF5 file, in the units a user reads and the detector's frame.

    `<task>/output` and `<task>/target` for every task (the latter if it has a truth),
    `inputs/<field>` for the inputs of few numbers (at most LARGEST_INPUT), `weight` where events
    have one; events in one order.
    """
    tasks = chain.tasks
    targets = {task.target for task in tasks}
    test = events.in_detector("test")
    arrays = {"weight": test["weight"]} if "weight" in test else {}
    for name in sorted(chain.reads() - targets):
        field = events.fields[name]
        if math.prod(field.shape) <= LARGEST_INPUT:
            arrays[f"inputs/{name}"] = field.decode(test[name])
    for task in tasks:
        arrays[f"{task.name}/output"] = task.output.prediction(task.scored(outputs[task.name]))
        if task.supervised:
            arrays[f"{task.name}/target"] = task.output.truth(test[task.target])
    with whole(path) as new, h5py.File(new, "w") as file:
        file.attrs.update(attributes)
        for name, values in arrays.items():
            file.create_dataset(name, data=values.detach().cpu().numpy())
