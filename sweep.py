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
    import hydra

    from msnas.errors import ConfigError
    from msnas.scan.engine import check_installed

    try:
        check_installed(sys.argv)
    except ConfigError as error:
        sys.exit(f"error: {error}")
    hydra.main(version_base="1.3", config_path="conf", config_name="sweep")(main)()
