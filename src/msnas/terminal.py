"""What is said on the screen: text as it is, whatever a path or a message holds."""

from __future__ import annotations

from typing import Any

from rich.console import Console


def terminal(**settings: Any) -> Console:
    """A console of rich's that takes no word for markup: `/x/[/red]` is a folder."""
    return Console(markup=False, emoji=False, highlight=False, **settings)


def say(console: Console, text: str) -> None:
    """Print a line of text, however long."""
    console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)
