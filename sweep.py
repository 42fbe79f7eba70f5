"""Many runs: python sweep.py method=spos,darts seed='range(0,5)' (the same as `msnas sweep`)."""

import sys

from msnas.cli import main

if __name__ == "__main__":
    main(["sweep", *sys.argv[1:]])
