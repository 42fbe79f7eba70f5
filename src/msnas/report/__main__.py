"""Tables, figures and a page of finished runs: `python -m msnas.report runs=runs/htautau`.

See docs/report.md.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import MISSING

from msnas.command_line import parse
from msnas.errors import MsnasError
from msnas.terminal import terminal


@dataclass
class Settings:
    """Keys of the command."""

    runs: list[str] = field(
        default=MISSING,
        metadata={"help": "folders with run directories at any depth, or of scans"},
    )
    out: str = field(default="report", metadata={"help": "folder for the report"})
    validity: float = field(
        default=0.95, metadata={"help": "joint validity that a recommended v1 has at least"}
    )
    leakage: float = field(
        default=0.0, metadata={"help": "leakage that its interval has to touch, or lie below"}
    )
    watch: bool = field(
        default=False, metadata={"help": "write it again as runs end, until none is at work"}
    )


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    settings = parse(
        arguments,
        Settings,
        program="python -m msnas.report",
        description="Read run directories and write results.csv, summary tables, figures (PNG, "
        "PDF) and the page index.html.",
    )
    # read when NumPy is imported: matrices are small here, and its threads only wait for each other
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # drawing takes seconds to import: not for --help or a mistyped key
    from msnas.report.build import build_report, watch_report
    from msnas.results.constrained import Bounds

    make = watch_report if settings.watch else build_report
    try:
        make(
            [Path(folder) for folder in settings.runs],
            Path(settings.out),
            terminal(),
            bounds=Bounds(validity=settings.validity, leakage=settings.leakage),
        )
    except MsnasError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main(sys.argv[1:])
