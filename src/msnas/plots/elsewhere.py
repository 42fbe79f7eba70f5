"""Figures drawn by other processes while the report goes on. Imports no matplotlib."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import cast

from msnas.plots.grammar import Chart
from msnas.scan.tether import Tether
from msnas.workers import apart

MOST = 4
"""Most processes: a report has about ten figures, and much else to do meanwhile."""

Files = tuple[Path, Path]

Saving = Callable[[Chart, Path], Callable[[], Files]]
"""Begins to write a chart at a path without ending; what it returns waits for the files."""


@contextmanager
def drawing() -> Iterator[Saving]:
    """Inside, other processes draw: as many as there are cores, at most MOST.

    With one core this process draws, and so it does whatever another did not, be it that the other
    was ended or that the chart cannot be sent there. What it raises then is why it cannot be drawn.
    """
    from joblib import cpu_count  # knows the limits of a container, too
    from joblib.externals.loky import ProcessPoolExecutor

    count = min(int(cpu_count()), MOST)
    if count < 2:
        yield lambda chart, stem: partial(_save, chart, stem)
        return
    executor = ProcessPoolExecutor(count, initializer=_begin, initargs=(Tether.to_this_process(),))
    with apart():
        executor.submit(int)  # begins the processes, which import while runs are read

    def saving(chart: Chart, stem: Path) -> Callable[[], Files]:
        sent = executor.submit(_save, chart, stem)

        def files() -> Files:
            try:
                return cast("Files", sent.result())
            except Exception:
                return _save(chart, stem)

        return files

    try:
        yield saving
    except BaseException:
        executor.shutdown(kill_workers=True)  # Ctrl-C waits for no figure
        raise
    executor.shutdown()


def _begin(tether: Tether) -> None:
    tether()  # before imports that take a second
    atexit.register(os._exit, 0)  # to take down all that was imported takes a third of a second
    import msnas.plots.paper  # noqa: F401


def _save(chart: Chart, stem: Path) -> Files:
    from msnas.plots.paper import save

    return save(chart, stem)
