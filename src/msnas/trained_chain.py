"""The selected chain of a finished run, ready to use."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from msnas.build import build
from msnas.chain.chain import Chain
from msnas.chain.chain import Path as ChainPath
from msnas.chain.from_config import build_chain
from msnas.data.fields import Field
from msnas.errors import DataError
from msnas.run_directory import RunDirectory


@dataclass(frozen=True, kw_only=True)
class TrainedChain:
    """A chain of one candidate per task, the fields with their scales, and where it is from."""

    chain: Chain
    path: ChainPath
    fields: Mapping[str, Field]
    provenance: Mapping[str, str]


def load_trained_chain(directory: Path) -> TrainedChain:
    """Read config.yaml and model.ckpt of a run; nothing in them is executed.

    Raises DataError if the run is not finished or its model cannot be read.
    """
    run = RunDirectory(directory)
    config = run.config()
    if run.result() is None:
        raise DataError(f"{directory}: no result.json; expected the directory of a finished run")
    try:
        model = torch.load(run.model, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{run.model}: not a readable model ({reason})") from error
    path = tuple(model["selected"])
    names = config["problem"]["chain"]
    tasks = {
        name: {
            **config["tasks"][name],
            "candidates": {chosen: config["tasks"][name]["candidates"][chosen]},
        }
        for name, chosen in zip(names, path, strict=True)
    }
    chain = build_chain(tasks, names, seed=0)
    chain.load_state_dict(model["weights"])
    fields: dict[str, Field] = {}
    for name, settings in config["data"]["fields"].items():
        fields[name] = build(settings, key=f"data.fields.{name}")
        fields[name].restore(model["scales"][name])
    return TrainedChain(
        chain=chain,
        path=path,
        fields=fields,
        provenance={
            "run": directory.name,
            "problem": config["problem"]["name"],
            "method": config["method"]["name"],
            "selected": " -> ".join(path),
        },
    )
