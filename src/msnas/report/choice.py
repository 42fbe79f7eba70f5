"""Prints how sure a choice among chains is. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from msnas.results.choice import Choice
from msnas.terminal import say, text_table

MOST_SHOWN = 20
"""Most chains in a table, besides the tie set and the default."""


def show_choice(choice: Choice, console: Console) -> None:
    """Print a row for each chain, the most probable first, and the meaning in sentences."""
    say(console, f"How sure is the choice? {choice.title}")
    shown = [
        row
        for place, row in enumerate(choice.rows())
        if place < MOST_SHOWN or row["tie set"] or row["default"]
    ]
    sized = any("latency" in row for row in shown)  # some chains are
    console.print(
        text_table(
            "",
            (
                {
                    "chain": row["chain"],
                    "loss": f"{row['loss']:.4f}",
                    "P(best)": f"{row['P(best)']:.3f}",
                    "regret": f"{row['regret']:.4f}",
                    f"{choice.sure.confidence * 100:g} %": f"{row['low']:.4f} to {row['high']:.4f}",
                    **(_size(row) if sized else {}),
                    "": ", ".join(name for name in ("tie set", "default") if row[name]),
                }
                for row in shown
            ),
        )
    )
    say(console, " ".join(choice.words()))


def _size(row: Mapping[str, Any]) -> dict[str, str]:
    """The text of a chain's size; empty if it was not measured."""
    if "latency" not in row:
        return {"parameters": "", "µs/event": ""}
    return {
        "parameters": f"{row['parameters']:,.0f}",
        "µs/event": f"{1e6 * row['latency']:.3g}",
    }
