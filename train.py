"""One run: python train.py --help."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from msnas.stop import stop_at_signals

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main(cfg: DictConfig) -> float | None:
    """Do the configured run; its validation loss is what another sweeper may minimise."""
    from msnas.errors import MsnasError
    from msnas.run import run
    from msnas.settings import OF_A_SCAN

    if many := [name for name in OF_A_SCAN if name in cfg]:
        sys.exit(f"error: {many[0]}: only for many runs (sweep.py or --multirun)")
    try:
        result = run(cfg)
    except (MsnasError, OSError) as error:
        sys.exit(f"error: {error}")
    return result["metrics"]["valid"]["loss"] if result else None


if __name__ == "__main__":
    stop_at_signals()  # before what takes time to import
    from msnas.start import start

    start(main, config="config")
