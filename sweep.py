"""Many runs: python sweep.py method=spos,darts seed='range(0,5)' (docs/scan.md)."""

import sys

import hydra
from omegaconf import DictConfig

from msnas.errors import ConfigError
from msnas.scan.engine import check_installed


@hydra.main(version_base="1.3", config_path="conf", config_name="sweep")
def main(_: DictConfig) -> None:
    """The scan is the sweeper's (msnas.scan); a single run is train.py's."""
    sys.exit("error: sweep.py is for many runs; for one run: python train.py")


if __name__ == "__main__":
    try:
        check_installed(sys.argv)
    except ConfigError as error:
        sys.exit(f"error: {error}")
    main()
