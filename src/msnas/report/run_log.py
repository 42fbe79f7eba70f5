"""The log of a run: in full in its file, in short on the screen."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import final

from rich.console import Console

from msnas.terminal import say


@final
class _ToConsole(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        say(self.console, record.getMessage())


@contextmanager
def run_log(path: Path, console: Console) -> Iterator[None]:
    """Send the package's messages to the file `path` and to `console`."""
    logger = logging.getLogger("msnas")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logging.raiseExceptions = False  # on a full disk the error itself is what counts
    to_file = logging.FileHandler(path)
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handlers = [to_file, _ToConsole(console)]
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    except Exception:
        logger.removeHandler(handlers[1])  # the traceback is for the file only
        logger.exception("the run ended with an error")
        raise
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
        with suppress(OSError):  # the disk may be full: the error itself is on its way
            to_file.close()
