"""Draws all figures of a report, as files for paper and for the HTML page."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msnas.plots.figures
from msnas.elsewhere import Begin
from msnas.errors import one_line
from msnas.plots.grammar import Chart, NothingToDraw
from msnas.plots.page import interactive, rich
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


Figures = tuple[Sequence[Drawn], Sequence[tuple[str, str]]]
"""Figures, and names and reasons of figures with nothing to show."""

Waiting = Callable[[], Figures]


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


def draw_figures(runs: Runs, folder: Path, begin: Begin) -> Waiting:
    """Begin to draw every figure into `folder`; what it returns waits for them.

    All runs are of one problem.
    """
    begun: list[tuple[Figure, Callable[[], tuple[Path, ...]], dict[str, Any]]] = []
    missing: list[tuple[str, str]] = []
    for one in figures_found():
        with _noted(one, missing):
            chart = one.chart(runs)
            told = {"notes": rich(" ".join(chart.notes)), "interactive": interactive(chart)}
            begun.append((one, begin(_save, chart, folder / one.name), told))

    @cache
    def drawn() -> Figures:
        found = []
        for one, files, told in begun:
            words: Any = {"name": one.name, "title": one.title, "caption": one.caption}
            with _noted(one, missing):
                found.append(Drawn(**words, **told, files=files()))
        return found, sorted(missing)

    return drawn


def _save(chart: Chart, stem: Path) -> tuple[Path, ...]:
    from msnas.plots.paper import save  # matplotlib: a second

    return save(chart, stem)


@contextmanager
def _noted(figure: Figure, missing: list[tuple[str, str]]) -> Iterator[None]:
    """Add the figure to what is `missing`, with the reason, if it cannot be drawn inside."""
    try:
        yield
    except NothingToDraw as nothing:
        missing.append((figure.name, str(nothing)))
    except OSError:
        raise
    except Exception as error:  # an unforeseen kind of run; the other figures are shown
        missing.append((figure.name, f"failed: {one_line(error)}"))
