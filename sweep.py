"""Many runs: python sweep.py method=spos,darts seed='range(0,5)' (docs/scan.md)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from msnas.stop import stop_at_signals

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main(_: DictConfig) -> None:
    """The scan is the sweeper's (msnas.scan); a single run is train.py's."""
    sys.exit("error: sweep.py is for many runs; for one run: python train.py")


if __name__ == "__main__":
    stop_at_signals()  # before what takes time to import
    from msnas.start import start

    start(main, config="sweep")
