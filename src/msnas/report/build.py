"""Makes a report from run directories alone: tables, figures and the page."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from msnas.elsewhere import Begin, elsewhere
from msnas.errors import DataError
from msnas.locks import file_lock
from msnas.plots.draw import draw_figures
from msnas.report.agreement import agreement_table
from msnas.report.answer import answer
from msnas.report.honest import honesty_tables_of
from msnas.report.page import Page, state_of
from msnas.report.provenance import provenance
from msnas.report.run_views import Views
from msnas.report.tables import NamedTable, as_rich, missing_table, tables_of
from msnas.results.constrained import Bounds, recommendations
from msnas.results.event_error import read_ahead
from msnas.results.runs import OtherRun, Runs, collect
from msnas.storage import damage_of, read_record, whole, write_record
from msnas.terminal import say, text_table

LOCK = ".lock"
"""Lock file, held while a report is written: two reports in one folder do not mix."""

EVERY = 10.0
"""Seconds between two looks at runs that are watched."""

AT_WORK = ("new", "not started", "running", "unfinished")
"""States of runs that a watched report waits for."""

WRITTEN = "written.json"
"""Record in each folder of a report: the files that the report wrote there."""


def build_report(
    folders: Sequence[Path],
    out: Path,
    console: Console,
    *,
    bounds: Bounds | None = None,
    runs: Runs | None = None,
    renew: float = 0.0,
) -> None:
    """Read the runs below `folders` and write their report into `out`, over an earlier one.

    A v1 is recommended within the `bounds`. `runs` are the runs below the folders, if they were
    read before. The page loads itself again every `renew` seconds, if that is not 0.

    Runs of several problems get a report each, in `out/<problem>`, and a page that leads to them.
    Raises DataError if there is no run at all, or `out` cannot be written. Waits while another
    process writes there.
    """
    runs = runs or collect(folders)
    if not runs.finished and not runs.others:
        raise DataError(f"runs: no run directory below {', '.join(map(str, folders))}")
    problems = runs.by_problem()
    bounds = bounds or Bounds()
    origin = provenance(runs, folders)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = file_lock(out / LOCK, what="writing this report", say=partial(say, console))
        with lock, elsewhere() as begin:
            if len(problems) < 2:
                _report(runs, out, console, bounds, begin, provenance=origin, renew=renew)
            else:
                for problem, own in problems.items():
                    console.rule(problem)
                    beside = [
                        (name, "" if name == problem else f"../{name}/index.html")
                        for name in problems
                    ]
                    page = {"provenance": origin, "renew": renew, "beside": beside}
                    _report(own, out / problem, console, bounds, begin, **page)
                _top_page(problems, runs.others, out, provenance=origin, renew=renew)
    except OSError as error:
        raise DataError(f"out: cannot write into {out} ({error})") from error
    if runs.others:
        missing = [{"directory": one.directory, "reason": one.reason} for one in runs.others]
        console.print(text_table(f"Runs without a result ({len(missing)})", missing))
    say(console, f"Report: {out / 'index.html'}")


def watch_report(
    folders: Sequence[Path], out: Path, console: Console, *, bounds: Bounds | None = None
) -> None:
    """Write the report again whenever a run has ended, until none is at work or yet to come."""
    seen: list[tuple[Path, str]] | None = None
    while True:
        since = time.monotonic()
        runs = collect(folders)
        states = [(run.directory, state_of(run)) for run in runs.others]
        now = [*((run.directory, "finished") for run in runs.finished), *states]
        left = sum(state in AT_WORK for _, state in states)
        if now != seen:
            build_report(
                folders, out, console, bounds=bounds, runs=runs, renew=EVERY if left else 0.0
            )
            seen = now
        if not left:
            return
        # reading many runs takes long: no more than a tenth of the time
        time.sleep(max(EVERY, 9 * (time.monotonic() - since)))


def _report(
    runs: Runs, out: Path, console: Console, bounds: Bounds, begin: Begin, **page: Any
) -> None:
    """Write the report of the runs of one problem."""
    out.mkdir(parents=True, exist_ok=True)
    views = Views.begun(runs.finished, out, begin)
    read_ahead(runs.finished, begin)
    drawn = draw_figures(runs, _without_earlier(out / "figures"), begin)
    write_results(runs.wide, out)
    recommended = recommendations(runs.finished, bounds)
    tables = [*tables_of(runs), agreement_table(runs), *honesty_tables_of(runs, recommended)]
    tables = [one for one in tables if len(one.rows)]
    folder = _without_earlier(out / "tables")
    written = [*tables, *([missing_table(runs.others)] if runs.others else [])]
    for one in written:
        _write_csv(one.table, folder / f"{one.name}.csv")
    _remember([folder / f"{one.name}.csv" for one in written])
    said = answer(runs, recommended, {one.name: one for one in tables})
    Page(runs=runs, drawn=drawn, tables=tables, answer=said, views=views, **page).write(out)
    figures, missing = drawn()
    _remember([file for one in figures for file in one.files])
    for term, text in said:
        say(console, f"{term}: {text}")
    for one in tables:
        if one.name in ("methods", "recommended"):
            console.print(as_rich(one))
    console.print(
        f"{len(runs.finished)} runs, {len(tables)} tables, "
        f"figures {', '.join(one.name for one in figures) or 'none'}",
        highlight=False,
    )
    for name, reason in missing:
        say(console, f"no {name}: {reason}")


def write_results(table: pd.DataFrame, out: Path) -> tuple[Path, Path]:
    """Write results.csv and results.parquet, with a row for each run."""
    paths = out / "results.csv", out / "results.parquet"
    _write_csv(table, paths[0])
    with whole(paths[1], alone=False) as new:
        table.to_parquet(new, index=False)
    return paths


def _top_page(
    problems: Mapping[str, Runs], others: Sequence[OtherRun], out: Path, **page: Any
) -> None:
    """Write a page that links the report of each problem and lists the runs without a result."""
    overview = pd.DataFrame(
        [
            {
                "problem": problem,
                "runs": len(runs.finished),
                "methods": ", ".join(sorted({run.method for run in runs.finished})),
                "report": f"{problem}/index.html",
            }
            for problem, runs in problems.items()
        ]
    )
    table = NamedTable(
        name="problems", title="Problems", caption="Each has a report of its own.", rows=overview
    )
    Page(runs=Runs([], others), tables=[table], **page).write(out)


def _without_earlier(folder: Path) -> Path:
    """Remove the files that an earlier report wrote into the folder, if they are unchanged.

    The folder's record lists these files (`_remember`); no other file is ever removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        earlier = read_record(folder / WRITTEN) if (folder / WRITTEN).is_file() else {}
    except DataError:
        earlier = {}  # what was written stays, or is written over
    for name in earlier.get("files", {}):
        if (folder / name).is_file() and damage_of(folder, earlier, [name]) is None:
            (folder / name).unlink()
    return folder


def _remember(paths: Sequence[Path]) -> None:
    """List the files in the records of their folders, with checksums."""
    for folder in {path.parent for path in paths}:
        write_record(folder / WRITTEN, {}, files=[path.name for path in paths])


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    with whole(path, alone=False) as new:
        table.to_csv(new, index=False, lineterminator="\n")
