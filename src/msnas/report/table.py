"""The tables at the end of a run, from its result alone. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def show_result(result: Mapping[str, Any], directory: Path, console: Console) -> None:
    """Print every chain's validation numbers, the selected one's test numbers, and the stages."""
    console.print(_chains(result))
    console.print(_selected(result))
    console.print(_stages(result))
    console.print(f"Run directory: {directory}", style="bold", highlight=False, soft_wrap=True)


def _chains(result: Mapping[str, Any]) -> Table:
    metrics = list(result["directions"])
    weights = ", ".join(f"{name} {value:g}" for name, value in result["task_weights"].items())
    table = Table(title=f"Chains on validation data (weights: {weights})", title_justify="left")
    for column in ("stage", "chain"):
        table.add_column(column)
    for column in ("loss", *metrics):
        table.add_column(column, justify="right")
    order = {"search": 0, "posttrain": 1}
    for chain in sorted(
        result["chains"], key=lambda one: (order[one["stage"]], one["valid"]["loss"])
    ):
        chosen = chain["selected"] == result["selected"]
        table.add_row(
            chain["stage"],
            " -> ".join(chain["selected"].values()) + (" *" if chosen else ""),
            *(f"{chain['valid'][name]:.4f}" for name in ("loss", *metrics)),
            style="bold" if chosen else None,
        )
    return table


def _selected(result: Mapping[str, Any]) -> Table:
    table = Table(
        title=f"Selected: {' -> '.join(result['selected'].values())} "
        f"({result['parameters']} parameters, seed {result['seed']})",
        title_justify="left",
    )
    table.add_column("metric")
    table.add_column("better")
    for part in ("valid", "test"):
        table.add_column(part, justify="right")
    for name, higher in result["directions"].items():
        table.add_row(
            name,
            "higher" if higher else "lower",
            *(f"{result['metrics'][part][name]:.4f}" for part in ("valid", "test")),
        )
    return table


def _stages(result: Mapping[str, Any]) -> Table:
    table = Table(title="Stages (* from the cache)", title_justify="left")
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    table.add_column("epochs")
    for name, stage in result["stages"].items():
        table.add_row(
            name,
            f"{stage['seconds']:.1f}",
            ", ".join(
                f"{label} {count}" + (" *" if label in stage["cached"] else "")
                for label, count in stage["epochs"].items()
            ),
        )
    return table
