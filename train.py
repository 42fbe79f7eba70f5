"""One run: python train.py --help."""

import sys

import hydra
from omegaconf import DictConfig

from msnas.errors import MsnasError


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    """Do the configured run."""
    from msnas.run import run

    try:
        run(cfg)
    except (MsnasError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped: nothing is lost, the same command goes on from the last epoch")


if __name__ == "__main__":
    main()
