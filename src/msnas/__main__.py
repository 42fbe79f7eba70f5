"""`python -m msnas` is the command `msnas`."""

from msnas.cli import main

if __name__ == "__main__":
    main()
