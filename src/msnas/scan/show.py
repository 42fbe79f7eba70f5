"""What a scan prints on the screen. Imports no PyTorch."""

from __future__ import annotations

import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from msnas.results.result import Result, best_of
from msnas.scan.ledger import Ledger, as_time, seconds_of_method
from msnas.scan.work import RunWork
from msnas.terminal import number, say, text_table

STATES = {"finished": "done", "running": "running", "failed": "failed"}
BEST = "best so far (validation)"
LOOK_EVERY = 1.0
"""Seconds between two looks at the run directories."""
SAY_EVERY = 30
"""Number of looks between two printed lines, where there is no terminal."""


@final
class Watch:
    """While open, a thread looks at the runs and shows their states: a live table, or lines."""

    def __init__(self, ledger: Ledger, console: Console) -> None:
        self.ledger = ledger
        self.console = console
        self.stage = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._live = (
            Live(get_renderable=self._table, console=console, auto_refresh=False)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> Watch:
        if self._live:
            self._live.start()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.ledger.look()
        if self._live:
            self._live.refresh()
            self._live.stop()

    def _run(self) -> None:
        looks = 0
        while True:
            self.ledger.look()
            with suppress(OSError):  # the disk may be full: the file is written again at the end
                self.ledger.write()
            if self._live:
                self._live.refresh()
            elif looks % SAY_EVERY == 0:
                self.console.print(self.line(), highlight=False, soft_wrap=True)
            looks += 1
            if self._stop.wait(LOOK_EVERY):
                return

    def line(self) -> str:
        """The states of the runs, the time left and the best run in one line."""
        states = self.ledger.states()
        total = sum(states.values())
        words = [f"{states['finished']} of {total} runs done"]
        words += [f"{states[name]} {name}" for name in ("running", "failed")]
        words.append(f"{_left(self.ledger.runs)} left")
        if self.stage:
            words.append(self.stage)
        words.append(self._eta())
        if text := _best(self.ledger.runs):
            words.append(f"best {text}")
        return ", ".join(words)

    def _eta(self) -> str:
        seconds = self.ledger.seconds_left()
        return "ETA --:--" if seconds is None else f"ETA {as_time(seconds)}"

    def _table(self) -> Table:
        rows = []
        for method in sorted({run.method for run in self.ledger.runs}):
            runs = [run for run in self.ledger.runs if run.method == method]
            counts = {
                told: sum(run.state == state for run in runs) for state, told in STATES.items()
            }
            rows.append({"method": method, **counts, "left": _left(runs), BEST: _best(runs)})
        if count := len(self.ledger.impossible):
            rows.append({"method": "(impossible)", **dict.fromkeys(STATES.values(), 0)})
            rows[-1] |= {"failed": count, "left": 0}
        made = text_table(f"Scan {self.ledger.folder.name}", rows)
        made.caption = f"{self.stage}  {self._eta()}".strip()
        return made


def show_best(ledger: Ledger, console: Console) -> None:
    """Print the best finished run of each method and data, judged on validation data."""
    rows = []
    kinds = dict.fromkeys((run.method, run.events) for run in ledger.runs)
    for method, events in sorted(kinds, key=lambda kind: kind[0]):
        runs = [run for run in ledger.runs if (run.method, run.events) == (method, events)]
        best = best_of([run.result for run in runs if run.result])
        if best is not None:
            judged = zip(("judged by", "value", "v"), _judged(best), strict=True)
            rows.append({"method": method, **dict(judged), "seed": best.seed})
            rows[-1] |= {"selected": best.chain, "run directory": best.directory}
            if len({one for _, one in kinds}) > 1:
                rows[-1] |= {"problem": best.problem, "events": best.data.get("events")}
    if rows:
        console.print(text_table("Best runs (validation data)", rows))


def show_choices(ledger: Ledger, console: Console) -> None:
    """Print how sure the choice of a chain is that runs of several seeds make together."""
    from msnas.report.choice import show_choice  # pandas and SciPy: 2 s
    from msnas.results.choice import choices_over_seeds

    for choice in choices_over_seeds([run.result for run in ledger.runs if run.result]):
        show_choice(choice, console)


def show_failures(ledger: Ledger, console: Console) -> None:
    """Print a line with the error of every failed run, and every different traceback once."""
    failures = [
        (ledger.varied(one.overrides), one.error, one.traceback) for one in ledger.impossible
    ] + [
        (f"{run.directory.path} ({ledger.varied(run.overrides)})", *_told(failure))
        for run in ledger.runs
        if run.state == "failed" and (failure := run.failure) is not None
    ]
    told: set[str] = set()
    for where, error, traceback in failures:
        say(console, f"failed: {where}: {error}")
        if traceback and traceback not in told:
            told.add(traceback)
            say(console, traceback)


def show_preview(ledger: Ledger, console: Console, *, workers: int) -> None:
    """Print which runs a scan would do, and how long they would take."""
    rows = [
        {"overrides": ledger.varied(run.overrides), "key": run.key, "state": run.state}
        for run in ledger.runs
    ] + [
        {"overrides": ledger.varied(one.overrides), "state": f"impossible: {one.error}"}
        for one in ledger.impossible
    ]
    console.print(text_table(f"Scan {ledger.folder.name} (dry run)", rows))
    left = [run for run in ledger.runs if run.left]
    known: dict[str, float | None] = {}
    for run in left:
        name = str(run.directory.path.parent)
        if name not in known:
            known[name] = seconds_of_method(run)
    times = [known[str(run.directory.path.parent)] for run in left]
    numbers = [one for one in times if one is not None]
    estimate = as_time(sum(numbers) / workers) if len(numbers) == len(times) else "unknown"
    console.print(
        f"{len(left)} of {len(ledger.runs)} runs to do; estimated time with {workers} at a time: "
        f"{estimate}",
        highlight=False,
    )


def show_damage(ledger: Ledger, console: Console) -> None:
    """Print a line for every result that cannot be read: its run is done again."""
    for run in ledger.unfinished:
        if damage := run.directory.damage():
            say(console, f"warning: damaged, the run is done again: {damage}")


def _told(failure: dict[str, Any]) -> tuple[str, str]:
    return str(failure.get("error")), str(failure.get("traceback", ""))


def _left(runs: list[RunWork]) -> int:
    return sum(run.left and run.state != "running" for run in runs)


def _best(runs: list[RunWork]) -> str:
    """The best finished run; empty where runs judge different events, whose metrics differ too."""
    if len({run.events for run in runs}) > 1:
        return ""
    best = best_of([run.result for run in runs if run.result])
    if best is None:
        return ""
    name, value, weights = _judged(best)
    return f"{name} {value} (v {weights}, seed {best.seed})"


def _judged(run: Result) -> tuple[str, str, str]:
    """The metric a run is judged by, its number, and the task weights."""
    name = run.judged or ""
    return name, number(run.valid[name]), " ".join(f"{one:g}" for one in run.weights)
