"""Draws all figures of a report, as files for paper and for the HTML page."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msnas.plots.figures
from msnas.errors import one_line
from msnas.plots.grammar import Chart, NothingToDraw
from msnas.plots.page import interactive, rich
from msnas.plots.paper import save
from msnas.results.runs import Runs


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A file of the folder `figures`: its name, its first line, the docstring of its `chart`.

    `chart` raises NothingToDraw if there is nothing to show.
    """

    name: str
    title: str
    caption: str
    chart: Callable[[Runs], Chart]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure that was drawn, with its form for the page and its files (PNG, PDF).

    `notes` say what these runs show and what is left out; they hold tags of plotly's texts.
    """

    name: str
    title: str
    caption: str
    notes: str
    interactive: Mapping[str, Any]
    files: tuple[Path, ...]


def figures_found() -> list[Figure]:
    """Every file of the folder `figures`, in the order of their names."""
    found = []
    for file in sorted(
        pkgutil.iter_modules(msnas.plots.figures.__path__), key=lambda one: one.name
    ):
        module = importlib.import_module(f"{msnas.plots.figures.__name__}.{file.name}")
        title = str(module.__doc__).split("\n")[0].removesuffix(".")
        caption = " ".join(str(module.chart.__doc__).split())
        found.append(Figure(name=file.name, title=title, caption=caption, chart=module.chart))
    return found


def draw_figures(runs: Runs, folder: Path) -> tuple[list[Drawn], list[tuple[str, str]]]:
    """Draw every figure into `folder`; also names and reasons of figures with nothing to show.

    All runs are of one problem.
    """
    drawn, missing = [], []
    for one in figures_found():
        try:
            chart = one.chart(runs)
            files = save(chart, folder / one.name)
            page = interactive(chart)
        except NothingToDraw as nothing:
            missing.append((one.name, str(nothing)))
        except OSError:
            raise
        except Exception as error:  # an unforeseen kind of run; the other figures are shown
            missing.append((one.name, f"failed: {one_line(error)}"))
        else:
            words = {"name": one.name, "title": one.title, "caption": one.caption}
            words["notes"] = rich(" ".join(chart.notes))
            drawn.append(Drawn(**words, interactive=page, files=files))
    return drawn, missing
