"""The tables at the end of a run, from its result alone. Imports no PyTorch."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from msnas.report.choice import show_choice
from msnas.report.honesty_tables import honesty_tables
from msnas.report.shift_tables import shift_tables
from msnas.results.choice import Choice
from msnas.results.records import numbers_of
from msnas.results.result import VALIDITY, Result
from msnas.results.schema import Reading
from msnas.terminal import CHAIN, chain_name, number, say, text_table


def show_result(run: Result, console: Console, command: Sequence[str] = ()) -> None:
    """Print every chain's validation numbers, the selected one's test numbers, and the stages.

    If the words of the run's `command` are given, the command that repeats the selected chain too.
    """
    console.print(_chains(run))
    if run.reading is not None:
        console.print(_reading(run, run.reading))
    if (choice := Choice.of(run)) is not None:
        show_choice(choice, console)
    console.print(_selected(run))
    if run.folds:
        console.print(_folds(run))
    for one in _per_variable(run):
        console.print(one)
    if VALIDITY in run.test:
        console.print(_validity(run.test))
    for one in honesty_tables(run.interventions, run.leakage("test"), "test"):
        console.print(one)
    for one in shift_tables(run.shifts, run.test, run.interventions, run.leakage("test"), "test"):
        console.print(one)
    console.print(_stages(run))
    if command:
        say(console, f"The selected chain again: {shlex.join(command_again(run, command))}")
    console.print(f"Run directory: {run.directory}", style="bold", highlight=False, soft_wrap=True)


def command_again(run: Result, command: Sequence[str]) -> list[str]:
    """The words of a command that trains the selected chain again, with the same numbers.

    A chain that a search trained by itself needs no search; else the run is repeated.
    """

    def without(*keys: str) -> list[str]:
        found = [(word.lstrip("+~").partition("=")[0], word) for word in command]
        return [word for key, word in found if key not in keys and key.split(".")[0] not in keys]

    alone = all(one["selected"] == run.selected for one in run.folds)
    if run.searched_together or not run.search_table() or not alone:
        return [*without("force"), "force=true"]
    chosen = ["method=fixed_chain", f"method.chain=[{','.join(run.path)}]"]
    return [*without("force", "method", "selection"), *chosen]


def _chains(run: Result) -> Table:
    weights = ", ".join(f"{name} {value:g}" for name, value in run.task_weights.items())
    return text_table(
        f"Chains on validation data (weights: {weights}; *: selected)",
        (
            {
                "stage": one["stage"],
                "chain": CHAIN.join(one["selected"].values())
                + (" *" if one["selected"] == run.selected else ""),
                **{name: number(valid[name]) for name in ("loss", *_scalar_metrics(run))},
            }
            for one in run.ranked
            for valid in [numbers_of(one["valid"])]
        ),
    )


def _reading(run: Result, reading: Reading) -> Table:
    rows = []
    for task, of_task in (run.probabilities or {}).items():
        if of_task and (margin := reading["margins"].get(task)) is not None:
            leader = max(of_task, key=lambda name: of_task[name])
            numbers = {"share": of_task[leader], "margin": margin["margin"]}
            numbers |= {"noise": margin["noise"]} if "noise" in margin else {}
            told = {name: f"{value:.4f}" for name, value in numbers.items()}
            decided = "" if margin["decided"] else "undecided"
            rows.append({"task": task, "leader": leader, **told, "": decided})
    return text_table(
        f"Belief of the search, read at epoch {reading['epoch']} of {reading['epochs']} "
        "(noise: of the margin over the last epochs)",
        rows,
    )


def _selected(run: Result) -> Table:
    votes = [one["selected"] for one in run.folds].count(dict(run.selected))
    by = f" by {votes} of {len(run.folds)} folds" if run.folds else ""
    columns = {"valid": run.valid, "test": run.test}
    if run.refit is not None:
        columns["test, refit"] = run.refit["test"]
    made = text_table(
        f"Selected{by}: {run.chain} ({run.parameters} parameters, seed {run.seed})",
        (
            {
                "metric": name,
                "better": "higher" if run.directions[name] else "lower",
                **{part: number(values[name]) for part, values in columns.items()},
            }
            for name in _scalar_metrics(run)
        ),
    )
    if run.refit is not None:
        made.caption = (
            "refit: the chain that predicts and is exported, trained once more with "
            f"{run.refit['events']} training and validation events"
        )
    return made


def _folds(run: Result) -> Table:
    rows = [(str(fold), one["selected"], one["test"]) for fold, one in enumerate(run.folds)]
    return text_table(
        "Test numbers of each fold, by the chain that was not trained on it (all: their mean)",
        (
            {
                "fold": fold,
                "chain": CHAIN.join(selected.values()),
                **{name: number(test[name]) for name in ("loss", *_scalar_metrics(run))},
            }
            for fold, selected, test in [*rows, ("all", {}, run.test)]
        ),
    )


def _scalar_metrics(run: Result) -> list[str]:
    return [name for name in run.directions if not isinstance(run.valid[name], Mapping)]


def _per_variable(run: Result) -> Iterator[Table]:
    """A table for each set of metrics that have a number for each of the same variables."""
    found: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for name in run.directions:
        if isinstance(values := run.test[name], Mapping):
            row = {variable: number(value) for variable, value in values.items()}
            found.setdefault(tuple(values), []).append({"": name.split("/")[-1], **row})
    for rows in found.values():
        yield text_table("Test events, each variable", rows)


def _validity(test: Mapping[str, Any]) -> Table:
    return text_table(
        "Test events within 2 sigma of the Gaussian process (output: validity; truth: the "
        "process's own coverage)",
        (
            {
                "": row,
                **{name: f"{value:.3f}" for name, value in test[f"{prefix}per_variable"].items()},
                "joint": f"{test[f'{prefix}joint']:.3f}",
            }
            for row, prefix in (("output", "validity/"), ("truth", "validity/truth_"))
        ),
    )


def _stages(run: Result) -> Table:
    return text_table(
        "Stages (* from the cache)",
        (
            {
                "stage": name,
                "seconds": f"{stage['seconds']:.1f}",
                "epochs": ", ".join(
                    f"{chain_name(label)} {count}" + (" *" if label in stage["cached"] else "")
                    for label, count in stage["epochs"].items()
                ),
            }
            for name, stage in run.stages.items()
        ),
    )
