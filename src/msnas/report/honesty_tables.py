"""What a run tells of its intermediate outputs, for the terminal. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.table import Table

from msnas.results.honesty import InterventionNumbers, LeakageNumbers


def honesty_tables(
    interventions: InterventionNumbers | None, leakage: Mapping[str, LeakageNumbers], part: str
) -> Iterator[Table]:
    """The interventions and the leakage on one part of the data, as far as they were measured."""
    if interventions:
        yield _interventions(interventions, part)
    if leakage:
        yield _leakage(leakage, part)


def _interventions(told: InterventionNumbers, part: str) -> Table:
    """What the truth in place of earlier outputs does to the last task's numbers."""
    table = Table(
        title=f"{told['task']}, {part} events, with the truth in place of earlier outputs "
        "(difference +- its standard error)",
        title_justify="left",
    )
    table.add_column("truth of")
    base = told["base"]
    for name in base:
        table.add_column(name.split("/", 1)[1], justify="right")
        table.add_column("difference", justify="right")
    table.add_row("nothing", *(text for value in base.values() for text in (f"{value:.4f}", "")))
    for row in told["groups"]:
        cells = []
        for name, value in row["values"].items():
            error = row["errors"][name]
            cells += [f"{value:.4f}", f"{value - base[name]:+.4f} +- {error:.4f}"]
        table.add_row(row["name"], *cells)
    return table


def _leakage(told: Mapping[str, LeakageNumbers], part: str) -> Table:
    """What outputs tell of the last task's classes beyond what their truth tells."""
    table = Table(
        title=f"Leakage, {part} events: information on the last task's classes, in shares of all",
        title_justify="left",
    )
    table.add_column("task")
    for column in ("in the output", "in the truth", "leakage", "95 % interval"):
        table.add_column(column, justify="right")
    for task, one in told.items():
        numbers = (f"{one[name]:.3f}" for name in ("output", "truth", "leakage"))
        table.add_row(task, *numbers, f"{one['low']:.3f} to {one['high']:.3f}")
    return table
