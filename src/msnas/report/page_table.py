"""A table of the page: texts to be read and values to be sorted by. Imports no PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import pandas as pd

NOTHING = ""
"""What is shown for a missing value; it is sorted last."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is shown, what a number is sorted by, and where a link leads."""

    text: str
    value: str | None = None
    link: str | None = None


@dataclass(frozen=True, kw_only=True)
class Column:
    """A heading; the cells of a column of numbers are on the right."""

    name: str
    number: bool


@dataclass(frozen=True, kw_only=True)
class PageTable:
    """Rows of cells below their columns."""

    anchor: str
    title: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


def page_table(
    table: pd.DataFrame, *, anchor: str, title: str, caption: str, links: Mapping[str, str]
) -> PageTable:
    """`table` for the page; a text that is a key of `links` becomes a link."""
    rows = [
        [_cell(value, links) for value in row] for row in table.itertuples(index=False, name=None)
    ]
    columns = [
        Column(name=str(name), number=any(row[place].value is not None for row in rows))
        for place, name in enumerate(table.columns)
    ]
    return PageTable(anchor=anchor, title=title, caption=caption, columns=columns, rows=rows)


def number(value: float) -> str:
    """Four significant digits; whole numbers in full."""
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e6):
        return str(int(value))
    return f"{value:.4g}"


def _cell(value: Any, links: Mapping[str, str]) -> Cell:
    if isinstance(value, bool | str):
        return Cell(text=str(value), link=links.get(str(value)))
    if isinstance(value, Real):
        exact: Any = value.item() if hasattr(value, "item") else value  # NumPy's and Python's alike
        if isinstance(exact, bool):
            return Cell(text=str(exact))
        if math.isnan(exact):
            return Cell(text=NOTHING)
        return Cell(text=number(exact), value=str(exact).replace("inf", "Infinity"))
    if value is None or value is pd.NaT or value is pd.NA:
        return Cell(text=NOTHING)
    return Cell(text=str(value))
