"""One run: python train.py --help."""

import sys

import hydra
from omegaconf import DictConfig

from msnas.errors import ConfigError, MsnasError
from msnas.scan.engine import check_installed


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float | None:
    """Do the configured run; its validation loss is what another sweeper may minimise."""
    from msnas.run import run

    try:
        result = run(cfg)
    except (MsnasError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped: nothing is lost, the same command goes on from the last epoch")
    return result["metrics"]["valid"]["loss"] if result else None


if __name__ == "__main__":
    try:
        check_installed(sys.argv)
    except ConfigError as error:
        sys.exit(f"error: {error}")
    main()
