"""One run: python train.py --help (the same as `msnas train`)."""

import sys

from msnas.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
