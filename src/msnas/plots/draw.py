"""All figures of a report, drawn on paper and for the page."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msnas.report.figures
from msnas.errors import one_line
from msnas.report.collect import FinishedRun
from msnas.report.figure import Figure, NothingToDraw
from msnas.report.scan import Scan
from msnas.report.style import save
from msnas.results.runs import Runs

if TYPE_CHECKING:
    import plotly.graph_objects


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure that was drawn: what it is, its form for the page, and its files (PNG, PDF)."""

    name: str
    title: str
    caption: str
    interactive: plotly.graph_objects.Figure
    files: tuple[Path, ...]


def figures_found() -> list[Figure[Any]]:
    """One of every figure in the folder `figures`, in the order of their names."""
    found: list[Figure[Any]] = []
    for module in pkgutil.iter_modules(msnas.report.figures.__path__):
        content = importlib.import_module(f"{msnas.report.figures.__name__}.{module.name}")
        found += [
            kind()
            for _, kind in inspect.getmembers(content, inspect.isclass)
            if issubclass(kind, Figure)
            and not inspect.isabstract(kind)
            and kind.__module__ == content.__name__
        ]
    return sorted(found, key=lambda one: one.name)


def draw_figures(runs: Runs, folder: Path) -> tuple[list[Drawn], list[tuple[str, str]]]:
    """Draw every figure into `folder`; names and reasons of those that have nothing to show."""
    finished = [
        FinishedRun(directory=run.directory, config=run.config, result=run.to_json())
        for run in runs.finished
    ]
    scan = Scan(finished, [])
    drawn, missing = [], []
    for figure in figures_found():
        try:
            data = figure.data(scan)
            files = save(figure.draw(data), folder / figure.name)
            interactive = figure.interactive(data)
        except NothingToDraw as nothing:
            missing.append((figure.name, str(nothing)))
        except OSError:
            raise
        except Exception as error:  # of runs that nobody has thought of; the rest is shown
            missing.append((figure.name, f"failed: {one_line(error)}"))
        else:
            words = {name: getattr(figure, name) for name in ("name", "title", "caption")}
            drawn.append(Drawn(**words, interactive=interactive, files=files))
    return drawn, missing
