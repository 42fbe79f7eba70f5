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

    try:
        result = run(cfg)
    except (MsnasError, OSError) as error:
        sys.exit(f"error: {error}")
    return result["metrics"]["valid"]["loss"] if result else None


if __name__ == "__main__":
    stop_at_signals()  # before what takes time to import
    import hydra

    from msnas.errors import ConfigError
    from msnas.scan.engine import check_installed

    try:
        check_installed(sys.argv)
    except ConfigError as error:
        sys.exit(f"error: {error}")
    hydra.main(version_base="1.3", config_path="conf", config_name="config")(main)()
