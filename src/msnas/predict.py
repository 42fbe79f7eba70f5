"""Apply a finished run's chain to events: `python -m msnas.predict run=<dir> data=my.h5 out=...`.

The output file holds one data set per task, in the order of the input events: for `htautau`
`tau_calibration` [event, 2, 3] (pT [GeV], eta, phi) and `higgs_id` [event] (probability of a
Higgs boson). Truth is not needed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import MISSING

from msnas.command_line import parse_with_conditions
from msnas.errors import DataError, MsnasError, StorageError
from msnas.packages import allowing
from msnas.storage import whole

if TYPE_CHECKING:
    import numpy as np


@dataclass
class Settings:
    """Keys of the command."""

    run: str = field(
        default=MISSING, metadata={"help": "directory of a finished run, or an ONNX file"}
    )
    data: str = field(
        default=MISSING, metadata={"help": "file with the inputs, as the run's source reads it"}
    )
    out: str = field(default=MISSING, metadata={"help": "HDF5 file to write"})
    overwrite: bool = field(default=False, metadata={"help": "replace `out` if it exists"})
    batch: int = field(default=500, metadata={"help": "events at a time"})
    allow: list[str] = field(
        default_factory=list,
        metadata={"help": "packages beside msnas that you trust, whose classes the run may name"},
    )


def predict(
    settings: Settings, conditions: Mapping[str, str] | None = None
) -> dict[str, np.ndarray]:
    """Predictions of every task in physical units; also written to `settings.out`.

    `conditions` are values of the parameters of the conditioning, by key, as text.

    Raises DataError for a run that is not finished, data that do not fit its fields, or an
    existing `out`.
    """
    with allowing(settings.allow):
        return _predict(settings, conditions or {})


def _predict(settings: Settings, conditions: Mapping[str, str]) -> dict[str, np.ndarray]:
    import h5py

    from msnas.build import build
    from msnas.data.event_file import EventFile
    from msnas.data.source import Source
    from msnas.export.read import OnnxModel, load_onnx
    from msnas.model import load_model

    out = Path(settings.out)
    if out.exists() and not settings.overwrite:
        raise DataError(f"out: {out} exists; choose another name or overwrite=true")
    run = Path(settings.run)
    model = load_onnx(run) if run.is_file() else load_model(run, for_use=True)
    told = {} if isinstance(model, OnnxModel) else model.source
    # a run whose source reads a file reads this file with the same source
    own = {**told, "file": settings.data} if "file" in told else None
    source = EventFile(file=settings.data) if own is None else build(own, key="data", of=Source)
    raw = source.load(model.inputs)
    predictions = model.predict(
        raw, conditions=conditions, batch=settings.batch, where=settings.data
    )
    try:
        with whole(out) as new, h5py.File(new, "w") as file:
            for key, value in model.provenance.items():
                file.attrs[key] = value
            file.attrs["data"] = Path(settings.data).name
            for name, values in predictions.items():
                file.create_dataset(name, data=values)
    except (OSError, StorageError) as error:
        raise DataError(f"out: cannot write {out} ({error.__cause__ or error})") from error
    return predictions


def main(arguments: list[str]) -> None:
    """Run the command."""
    import h5py

    settings, conditions = parse_with_conditions(
        arguments,
        Settings,
        program="python -m msnas.predict",
        description="Apply the chain of a finished run to events, with or without truth.",
    )
    try:
        predictions = predict(settings, conditions)
    except MsnasError as error:
        sys.exit(f"error: {error}")
    count = len(next(iter(predictions.values())))
    sys.stdout.write(f"{count} events: {', '.join(predictions)} written to {settings.out}\n")
    with h5py.File(settings.out) as file:
        if told := file.attrs.get("refit"):
            sys.stdout.write(f"by the chain that was trained for use, with {told}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
