"""A finished run's chain as one ONNX file: `python -m msnas.export run=<dir> out=chain.onnx`.

The file takes raw events in physical units and gives the output of every task, as `msnas.predict`
does; it needs neither PyTorch nor this package (docs/export.md).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import MISSING

from msnas.command_line import parse
from msnas.errors import DataError, MsnasError
from msnas.packages import allowing
from msnas.storage import somebodys


@dataclass
class Settings:
    """Keys of the command."""

    run: str = field(default=MISSING, metadata={"help": "directory of a finished run"})
    out: str = field(default=MISSING, metadata={"help": "ONNX file to write"})
    overwrite: bool = field(default=False, metadata={"help": "replace `out` if it exists"})
    allow: list[str] = field(
        default_factory=list,
        metadata={"help": "packages beside msnas that you trust, whose classes the run may name"},
    )


def export(settings: Settings) -> str:
    """Write the file; return a text that lists its inputs and outputs.

    Raises DataError for a run that is not finished or an existing `out`, ConfigError for a chain
    that ONNX cannot express, or where a package is missing.
    """
    from msnas.export.write import write_onnx
    from msnas.model import load_model

    out = Path(settings.out)
    if out.exists() and not settings.overwrite:
        raise DataError(f"out: {out} exists; choose another name or overwrite=true")
    with allowing(settings.allow), somebodys(Path(settings.run)):
        return write_onnx(load_model(Path(settings.run), for_use=True), out)


def main(arguments: list[str]) -> None:
    """Run the command."""
    settings = parse(
        arguments,
        Settings,
        program="python -m msnas.export",
        description="Write the chain of a finished run as one ONNX file.",
    )
    try:
        said = export(settings)
    except MsnasError as error:
        sys.exit(f"error: {error}")
    sys.stdout.write(f"{said}\nwritten to {settings.out}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
