"""Output on the screen: text unchanged, whatever a path or a message holds; and tables."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, final

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

NUMBER = re.compile(r"[-+]?\d[\d.,e+-]*(?!\S)")
"""How the text of a number, or of a range of them, begins."""

WIDEST = 10_000
"""Characters of a line that is wider than any table."""

CHAIN = "-"
"""Between the candidates of a chain, as in `cnn-lstm`, wherever people read it."""


def chain_name(training: str) -> str:
    """The name of a chain, `cnn-lstm`, whose training is called `cnn -> lstm` in files."""
    return training.replace(" -> ", CHAIN)


def terminal(**settings: Any) -> Console:
    """A console of rich that reads no word as markup: `/x/[/red]` is a folder."""
    return Console(markup=False, emoji=False, highlight=False, **settings)


def say(console: Console, text: str) -> None:
    """Print a line of text, however long."""
    console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)


def text_table(title: str, rows: Iterable[Mapping[str, Any]], *, labels: int = 1) -> Table:
    """A table with a row for each mapping: texts, and right-aligned numbers, never broken.

    A value that a row lacks is empty. The first `labels` columns say what a row is about.
    """
    cells = [{name: told(value) for name, value in row.items()} for row in rows]
    return FittedTable(title, cells, labels=labels)


@final
class FittedTable(Table):
    """A table as wide as its content; if that is too wide, blocks below each other, nothing cut.

    A block repeats the `labels` first columns. A table of few rows is turned on its side instead.
    """

    def __init__(self, title: str, cells: Sequence[Mapping[str, str]], *, labels: int) -> None:
        super().__init__(title=title, title_justify="left")
        self.cells = cells
        self.labels = labels

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The title in lines as wide as the console, the blocks, the caption."""
        if self.title:
            yield Text(f"\n{self.title}", style="table.title")
        yield from self._blocks(lambda made: _width(made, console, options) <= options.max_width)
        if self.caption:
            yield Text(str(self.caption), style="table.caption")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """The width of the whole table."""
        return Measurement.get(console, options, _made(self._names, self.cells))

    @property
    def _names(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.cells for name in row))

    def _blocks(self, fits: Callable[[Table], bool]) -> Iterator[Table]:
        names = self._names
        if fits(whole := _made(names, self.cells)):
            yield whole
            return
        kept, others = names[: self.labels], names[self.labels :]
        if len(self.cells) == 1:
            kept, others = [], names
        heads = [" ".join(row.get(name, "") for name in kept) or " " for row in self.cells]
        turned = [
            {"": name, **dict(zip(heads, (row.get(name, "") for row in self.cells), strict=True))}
            for name in others
        ]
        if len(set(heads)) == len(heads) < len(others) and fits(
            made := _made(["", *heads], turned)
        ):
            yield made
            return
        block = others[:1]
        for name in others[1:]:
            if not fits(_made([*kept, *block, name], self.cells)):
                yield _made([*kept, *block], self.cells)
                block = []
            block.append(name)
        yield _made([*kept, *block], self.cells)


def _width(made: Table, console: Console, options: ConsoleOptions) -> int:
    """The smallest width that the table needs, on a console of any width."""
    return Measurement.get(console, options.update_width(WIDEST), made).minimum


def _made(names: Sequence[str], cells: Sequence[Mapping[str, str]]) -> Table:
    headed = any(map(str.strip, names))
    made = Table(box=SIMPLE_HEAD, show_header=headed, collapse_padding=True, pad_edge=False)
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
    """A value in a table: floats with four digits, whole numbers in full; empty if missing."""
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < 1e6
        return str(int(value)) if whole else f"{value:.4g}"
    return str(value)


def number(value: float, sign: str = "", *, beside: float | None = None) -> str:
    """A number of a quantity in any unit: four places, or four digits where that is huge or tiny.

    An error or a difference is told like the number that it is shown `beside`.

    >>> number(0.96872), number(9118627147.8), number(2.5e-07), number(12)
    ('0.9687', '9.119e+09', '2.5e-07', '12')
    >>> number(0.000012, "+", beside=0.96872)
    '+0.0000'
    """
    if isinstance(value, int):
        return f"{value:{sign}}"
    size = abs(value if beside is None else beside)
    return f"{value:{sign}.4{'f' if not size or 1e-4 <= size < 1e5 else 'g'}}"
