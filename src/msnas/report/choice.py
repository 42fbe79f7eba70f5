"""How sure a choice is, for the terminal. Imports no PyTorch."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from msnas.results.choice import Choice
from msnas.terminal import say

MOST_SHOWN = 20
"""Chains of a table, besides the tie set and the default."""


def show_choice(choice: Choice, console: Console) -> None:
    """Print a row for each chain, the most probable one first, and what it means."""
    level = f"{choice.sure.confidence * 100:g} %"
    say(console, f"How sure is the choice? {choice.title}")
    table = Table()
    table.add_column("chain")
    for column in ("loss", "P(best)", "regret", level):
        table.add_column(column, justify="right")
    rows = choice.table()
    sized = "latency" in rows
    for column in ("parameters", "µs per event") if sized else ():
        table.add_column(column, justify="right")
    table.add_column("")
    rows = rows[(rows.index < MOST_SHOWN) | rows["tie set"] | rows["default"]]
    for row in rows.to_dict("records"):
        notes = [name for name in ("tie set", "default") if row[name]]
        table.add_row(
            row["chain"],
            f"{row['loss']:.4f}",
            f"{row['P(best)']:.3f}",
            f"{row['regret']:.4f}",
            f"{row['low']:.4f} to {row['high']:.4f}",
            *(_size(row["parameters"], row["latency"]) if sized else ()),
            ", ".join(notes),
        )
    console.print(table)
    say(console, " ".join(choice.words()))


def _size(parameters: float, latency: float) -> tuple[str, str]:
    """Parameters and latency in words; of a chain without them nothing."""
    return ("", "") if parameters != parameters else (f"{parameters:,.0f}", f"{1e6 * latency:.3g}")
