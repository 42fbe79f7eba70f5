"""The report as one page that needs no network: index.html. Imports no PyTorch.

The page's scripts (template/*.js) draw it from the data in it: the runs, the rows of the tables,
the figures, and, compressed, the views of single runs and plotly.js.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from plotly.offline import get_plotlyjs

from msnas.report.run_views import Views, anchors_of, json_of, link_to
from msnas.report.tables import KEYS
from msnas.results.frame import FIRST
from msnas.results.statistics import FEWEST_SEEDS, LEVEL
from msnas.storage import whole

if TYPE_CHECKING:
    from msnas.plots.draw import Drawn, Waiting
    from msnas.report.tables import NamedTable
    from msnas.results.runs import OtherRun, Runs

TEMPLATE = Path(__file__).parent / "template"

SCRIPTS = ("tables.js", "figures.js", "runs.js", "page.js")
"""Files that, joined in this order, are the script of the page."""

STATES = re.compile(r"failed|new|not started|running|unfinished|no run")
"""Beginnings of the reason of a run without a result; any other run cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """The content of a page; `drawn` waits for the figures.

    `answer` and `provenance` are pairs of a term and its text, `beside` names and addresses of
    the reports of all problems. The page loads itself again every `renew` seconds, if that is
    not 0.
    """

    runs: Runs
    drawn: Waiting = lambda: ((), ())
    views: Views | None = None
    tables: Sequence[NamedTable] = ()
    answer: Sequence[tuple[str, str]] = ()
    provenance: Sequence[tuple[str, str]] = ()
    beside: Sequence[tuple[str, str]] = field(default=())
    renew: float = 0.0

    def write(self, out: Path) -> Path:
        """Write `index.html` into the folder `out` and return its path.

        Links to files and to run directories are relative to `out`.
        """
        out.mkdir(parents=True, exist_ok=True)
        link = partial(link_to, out=out.resolve())
        runs = self.runs.finished
        anchors = anchors_of(runs)
        views = self.views or Views.begun(runs, out)
        figures, missing = self.drawn()
        title = f"msnas: {', '.join(dict.fromkeys(run.problem for run in runs)) or 'report'}"
        data = {
            "title": title,
            "level": LEVEL,
            "fewest": FEWEST_SEEDS,
            "answer": self.answer,
            "provenance": self.provenance,
            "beside": self.beside,
            "renew": self.renew,
            "runs": _run_table(self.runs, anchors, link),
            "tables": [_table(one) for one in self.tables],
            "figures": [_figure(one, link) for one in figures],
            "missing": missing,
            "common": list(views.common.items()),
        }
        script = "".join((TEMPLATE / name).read_text() for name in SCRIPTS)
        plotly = get_plotlyjs() if runs else ""
        parts = {
            "title": escape(title),
            "policy": _policy([script, plotly]),
            "style": (TEMPLATE / "page.css").read_text(),
            # in a script element only `<` could end it; JSON may write it as an escape
            "data": json_of(data).replace("<", "\\u003c"),
            "details": _packed(views.text(anchors)),
            "plotly": _packed(plotly),
            "script": script,
        }
        text = (TEMPLATE / "page.html").read_text()
        # in one go, so that nothing that is filled in is filled in again
        text = re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], text)
        path = out / "index.html"
        with whole(path, alone=False) as new:
            new.write_text(text, encoding="utf-8")
        return path


def state_of(other: OtherRun) -> str:
    """The state of a run without a result, in a word or two."""
    found = STATES.match(other.reason)
    return found[0] if found else "unreadable"


def _run_table(runs: Runs, anchors: Sequence[str], link: Any) -> dict[str, Any]:
    """All runs as in results.csv, also runs without a result; and the columns shown at first."""
    wide = runs.wide.drop(columns="directory")
    table = wide.assign(run=anchors, status="finished", reason="")
    others = pd.DataFrame(
        [
            {"run": link(one.directory), "status": state_of(one), "reason": one.reason}
            for one in runs.others
        ]
    )
    every = [one for one in (table, others) if len(one)]
    table = pd.concat(every, ignore_index=True) if every else table
    names = [name for one in runs.quantities.all for name in (one.valid, one.test)]
    shown = ["run", "status", "label", "v1", "seed", "chain", *names, "seconds/total"]
    shown += ["reason"] * bool(runs.others)
    order = dict.fromkeys([*shown, *FIRST, *table])
    table = table[[name for name in order if name in table]]
    return {**_rows(table), "shown": [name for name in shown if name in table]}


def _table(named: NamedTable) -> dict[str, Any]:
    """The rows that a table is computed from, each with the keys of its runs."""
    needed = dict.fromkeys([*named.by, *(of for _, of in named.numbers.values())])
    rows = named.rows[[*needed]] if named.by else named.rows
    keys = named.rows[KEYS].tolist() if KEYS in named.rows else None
    words = {"name": named.name, "title": named.title, "caption": named.caption}
    rows = rows.drop(columns=KEYS, errors="ignore")
    return {**words, "by": named.by, "numbers": named.numbers, "keys": keys, **_rows(rows)}


def _figure(one: Drawn, link: Any) -> dict[str, Any]:
    return {
        **{"name": one.name, "title": one.title, "caption": one.caption},
        "notes": one.notes,
        "files": [[file.suffix[1:].upper(), link(file)] for file in one.files],
        **one.interactive,
    }


def _rows(table: pd.DataFrame) -> dict[str, Any]:
    """Columns and rows of plain values; None for missing values."""
    there = table.astype(object).where(table.notna(), None)
    return {"columns": list(map(str, table)), "rows": there.to_numpy().tolist()}


def _packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _policy(scripts: Sequence[str]) -> str:
    """The content security policy: only these scripts may run, and no network is used."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'"
        for one in scripts
    )
    # plotly sets styles, and saves pictures through blobs
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
