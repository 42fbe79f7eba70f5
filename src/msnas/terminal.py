"""What is said on the screen: text as it is, whatever a path or a message holds; and tables."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

NUMBER = re.compile(r"[-+]?\d[\d.,e+-]*(?!\S)")
"""How the text of a number, or of a range of them, begins."""


def terminal(**settings: Any) -> Console:
    """A console of rich's that takes no word for markup: `/x/[/red]` is a folder."""
    return Console(markup=False, emoji=False, highlight=False, **settings)


def say(console: Console, text: str) -> None:
    """Print a line of text, however long."""
    console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)


def text_table(title: str, rows: Iterable[Mapping[str, Any]]) -> Table:
    """A row for each mapping: texts, and on the right numbers, which are never broken.

    What a row lacks is empty.
    """
    cells = [{name: told(value) for name, value in row.items()} for row in rows]
    look: Any = {"box": SIMPLE_HEAD, "collapse_padding": True, "pad_edge": False}
    made = Table(title=title, title_justify="left", **look)
    names = list(dict.fromkeys(name for row in cells for name in row))
    for name in names:
        texts = [text for row in cells if (text := row.get(name))]
        if texts and all(map(NUMBER.match, texts)):
            width = max(map(len, (*texts, *name.split())))
            made.add_column(textwrap.fill(name, width), justify="right", no_wrap=True)
        else:
            made.add_column(name, overflow="fold")
    for row in cells:
        made.add_row(*(row.get(name, "") for name in names))
    return made


def told(value: Any) -> str:
    """A value in a table: floats with four digits, whole ones in full; nothing if it is missing."""
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < 1e6
        return str(int(value)) if whole else f"{value:.4g}"
    return str(value)
