"""The tables at the end of a run, from its result alone. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from msnas.report.choice import show_choice
from msnas.report.honesty_tables import honesty_tables
from msnas.results.choice import Choice
from msnas.results.result import ARROW, VALIDITY, Result
from msnas.results.schema import Reading


def show_result(run: Result, console: Console) -> None:
    """Print every chain's validation numbers, the selected one's test numbers, and the stages."""
    console.print(_chains(run))
    if run.reading is not None:
        console.print(_reading(run, run.reading))
    if (choice := Choice.of(run)) is not None:
        show_choice(choice, console)
    console.print(_selected(run))
    for table in _per_variable(run):
        console.print(table)
    if VALIDITY in run.test:
        console.print(_validity(run.test))
    for table in honesty_tables(run.interventions, run.leakage("test"), "test"):
        console.print(table)
    console.print(_stages(run))
    console.print(f"Run directory: {run.directory}", style="bold", highlight=False, soft_wrap=True)


def _chains(run: Result) -> Table:
    metrics = _scalar_metrics(run)
    weights = ", ".join(f"{name} {value:g}" for name, value in run.task_weights.items())
    table = Table(title=f"Chains on validation data (weights: {weights})", title_justify="left")
    for column in ("stage", "chain"):
        table.add_column(column)
    for column in ("loss", *metrics):
        table.add_column(column, justify="right")
    order = {"search": 0, "posttrain": 1}
    for chain in sorted(run.chains, key=lambda one: (order[one["stage"]], one["valid"]["loss"])):
        chosen = chain["selected"] == run.selected
        table.add_row(
            chain["stage"],
            ARROW.join(chain["selected"].values()) + (" *" if chosen else ""),
            *(f"{chain['valid'][name]:.4f}" for name in ("loss", *metrics)),
            style="bold" if chosen else None,
        )
    return table


def _reading(run: Result, reading: Reading) -> Table:
    table = Table(
        title=f"Belief of the search, read at epoch {reading['epoch']} of {reading['epochs']} "
        "(noise: of the margin over the last epochs)",
        title_justify="left",
    )
    for column in ("task", "leader", "share", "margin", "noise", ""):
        table.add_column(
            column, justify="right" if column in ("share", "margin", "noise") else "left"
        )
    for task, of_task in (run.probabilities or {}).items():
        if not of_task or (margin := reading["margins"].get(task)) is None:
            continue
        leader = max(of_task, key=lambda name: of_task[name])
        table.add_row(
            task,
            leader,
            *(f"{value:.4f}" for value in (of_task[leader], margin["margin"])),
            f"{margin['noise']:.4f}" if "noise" in margin else "",
            "" if margin["decided"] else "undecided",
        )
    return table


def _selected(run: Result) -> Table:
    table = Table(
        title=f"Selected: {run.told} ({run.parameters} parameters, seed {run.seed})",
        title_justify="left",
    )
    table.add_column("metric")
    table.add_column("better")
    for part in ("valid", "test"):
        table.add_column(part, justify="right")
    for name in _scalar_metrics(run):
        better = "higher" if run.directions[name] else "lower"
        table.add_row(name, better, _number(run.valid[name]), _number(run.test[name]))
    return table


def _number(value: float) -> str:
    """Four digits, but counts as they are."""
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def _scalar_metrics(run: Result) -> list[str]:
    return [name for name in run.directions if not isinstance(run.valid[name], Mapping)]


def _per_variable(run: Result) -> list[Table]:
    """One table for all metrics of the test events that have the same variables."""
    tables: dict[tuple[str, ...], Table] = {}
    for name in run.directions:
        if not isinstance(run.test[name], Mapping):
            continue
        variables = tuple(run.test[name])
        if variables not in tables:
            tables[variables] = Table(title="Test events, each variable", title_justify="left")
            for column in ("", *variables):
                tables[variables].add_column(column, justify="right" if column else "left")
        values = (_number(run.test[name][variable]) for variable in variables)
        tables[variables].add_row(name.split("/")[-1], *values)
    return list(tables.values())


def _validity(test: Mapping[str, Any]) -> Table:
    table = Table(
        title="Test events within 2 sigma of the Gaussian process (output: validity; truth: the "
        "process's own coverage)",
        title_justify="left",
    )
    table.add_column("")
    rows = {"output": "validity/", "truth": "validity/truth_"}
    for name in (*test["validity/per_variable"], "joint"):
        table.add_column(name, justify="right")
    for row, prefix in rows.items():
        values = (*test[f"{prefix}per_variable"].values(), test[f"{prefix}joint"])
        table.add_row(row, *(f"{value:.3f}" for value in values))
    return table


def _stages(run: Result) -> Table:
    table = Table(title="Stages (* from the cache)", title_justify="left")
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    table.add_column("epochs")
    for name, stage in run.stages.items():
        table.add_row(
            name,
            f"{stage['seconds']:.1f}",
            ", ".join(
                f"{label} {count}" + (" *" if label in stage["cached"] else "")
                for label, count in stage["epochs"].items()
            ),
        )
    return table
