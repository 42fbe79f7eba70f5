"""The report as one page that needs no network: index.html. Imports no PyTorch."""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from msnas.report.config_difference import common_part
from msnas.report.page_runs import anchor_of, link_to, places_of, problem_summary, run_table
from msnas.storage import whole
from msnas.terminal import told

if TYPE_CHECKING:
    from msnas.plots.draw import Drawn
    from msnas.report.tables import NamedTable
    from msnas.results.runs import Runs

TEMPLATE = Path(__file__).parent / "template"

HEIGHT = 450
"""Pixels of a figure that names no height: Plotly's own default."""


def write_page(
    runs: Runs,
    figures: Sequence[Drawn],
    missing: Sequence[tuple[str, str]],
    tables: Sequence[NamedTable],
    out: Path,
) -> Path:
    """Write `index.html` into the folder `out` and return its path.

    `missing` are names of figures and why they could not be drawn. Links to files and to run
    directories are relative to `out`.
    """
    out.mkdir(parents=True, exist_ok=True)
    problems = list(dict.fromkeys(run.problem for run in runs.finished))
    common = {
        name: common_part([run.config for run in runs.finished if run.problem == name])
        for name in problems
    }
    places = places_of(runs.finished, common)
    links = {place.run.key: f"#{place.anchor}" for place in reversed(places)}
    plotly = get_plotlyjs() if figures else ""
    script = (TEMPLATE / "page.js").read_text()
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["link"] = partial(link_to, out=out)
    environment.globals["anchor"] = anchor_of
    text = environment.get_template("page.html").render(
        title=f"msnas: {', '.join(problems) or 'no finished run'}",
        policy=_policy([script, plotly]),
        style=Markup((TEMPLATE / "page.css").read_text()),
        script=Markup(script),
        plotly=base64.b64encode(gzip.compress(plotly.encode(), mtime=0)).decode(),
        sections=_sections(runs, bool(tables), bool(figures or missing)),
        counts=_counts(runs),
        problems=[problem_summary(name, places, common[name]) for name in problems],
        tables=[page_table(one, links) for one in tables],
        figures=[(one, *_drawn(one)) for one in figures],
        missing=missing,
        others=runs.others,
        run_table=page_table(run_table(places), links),
        places=places,
    )
    path = out / "index.html"
    with whole(path, alone=False) as new:
        new.write_text(text, encoding="utf-8")
    return path


def _policy(scripts: Sequence[str]) -> str:
    """What a browser lets the page do: run these scripts and no other, and reach for no network."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'"
        for one in scripts
    )
    # Plotly compiles its WebGL traces, sets styles, and saves pictures through blobs
    return (
        f"default-src 'none'; script-src {hashes} 'unsafe-eval'; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _sections(runs: Runs, tables: bool, figures: bool) -> list[tuple[str, str]]:
    there = {
        "summary": ("Summary", True),
        "tables": ("Tables", tables),
        "figures": ("Figures", figures),
        "others": ("Runs without a result", bool(runs.others)),
        "runs": ("Runs", bool(runs.finished)),
    }
    return [(anchor, name) for anchor, (name, shown) in there.items() if shown]


def _counts(runs: Runs) -> str:
    def of(number: int, what: str) -> str:
        return f"{number} {what} run" + ("" if number == 1 else "s")

    said = of(len(runs.finished), "finished")
    if runs.others:
        said += f"; {of(len(runs.others), 'other')} without a usable result"
    return f"{said}."


def page_table(named: NamedTable, links: Mapping[str, str]) -> dict[str, Any]:
    """A table with columns, (name, whether of numbers), and rows of cells.

    A number has a `value` to be sorted by; a text that is a key of `links` becomes a link.
    """
    there = named.table.astype(object).where(named.table.notna(), None)
    rows = [[_cell(one, links) for one in row] for row in there.itertuples(index=False, name=None)]
    columns = [
        (str(name), any(row[place]["value"] is not None for row in rows))
        for place, name in enumerate(named.table)
    ]
    return {**vars(named), "columns": columns, "rows": rows}


def _cell(value: Any, links: Mapping[str, str]) -> dict[str, str | None]:
    if isinstance(value, Real) and not isinstance(value, bool):
        exact = str(value).replace("inf", "Infinity")
        return {"text": told(value), "value": exact, "link": None}
    return {"text": told(value), "value": None, "link": links.get(str(value))}


def _drawn(one: Drawn) -> tuple[int, Markup]:
    """The height of a figure, and the figure."""
    # in a script element only `<` could end it; JSON may write it as an escape
    text = one.interactive.to_json().replace("<", "\\u003c")
    return int(one.interactive.layout.height or HEIGHT), Markup(text)
