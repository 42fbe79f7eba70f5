"""How sure a choice is, for the terminal. Imports no PyTorch."""

from __future__ import annotations

import pandas as pd
from rich.console import Console

from msnas.results.choice import Choice
from msnas.terminal import say, text_table

MOST_SHOWN = 20
"""Chains of a table, besides the tie set and the default."""


def show_choice(choice: Choice, console: Console) -> None:
    """Print a row for each chain, the most probable one first, and what it means."""
    say(console, f"How sure is the choice? {choice.title}")
    shown = choice.table()
    shown = shown[(shown.index < MOST_SHOWN) | shown["tie set"] | shown["default"]]
    texts = {
        "chain": shown["chain"],
        "loss": shown["loss"].map("{:.4f}".format),
        "P(best)": shown["P(best)"].map("{:.3f}".format),
        "regret": shown["regret"].map("{:.4f}".format),
        f"{choice.sure.confidence * 100:g} %": shown["low"].map("{:.4f} to ".format)
        + shown["high"].map("{:.4f}".format),
    }
    if "latency" in shown:  # of some chains: those have a size
        texts["parameters"] = shown["parameters"].map("{:,.0f}".format, na_action="ignore")
        texts["µs/event"] = (1e6 * shown["latency"]).map("{:.3g}".format, na_action="ignore")
    marks = {name: shown[name].map({True: name, False: None}) for name in ("tie set", "default")}
    texts[""] = pd.DataFrame(marks).agg(lambda one: ", ".join(one.dropna()), axis=1)
    console.print(text_table("", pd.DataFrame(texts).to_dict("records")))
    say(console, " ".join(choice.words()))
