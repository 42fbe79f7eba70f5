"""What a report is made of, as the page receives it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    import plotly.graph_objects

    from msnas.report.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure that was drawn: its data, its form for the page, and its files (PNG, PDF)."""

    figure: Figure[Any]
    data: Any
    interactive: plotly.graph_objects.Figure
    files: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class NamedTable:
    """A table with the name of its file, a heading, and a caption that says how to read it."""

    name: str
    title: str
    caption: str
    table: pd.DataFrame
