"""Chooses the runs that one figure shows together, with notes on the runs it does not show.

A figure of single runs shows one group: the same problem, events, task weights, candidates and
recipe, so that only method and seed differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from msnas.errors import DataError
from msnas.plots.against import number_of_runs
from msnas.plots.grammar import NothingToDraw
from msnas.plots.look import in_order, method_of
from msnas.results.alike import JUDGE, METHOD, Alike, alike
from msnas.results.result import Result, best_of
from msnas.results.runs import Runs
from msnas.run_directory import OUTPUTS

Read = TypeVar("Read")
ByLabel = Mapping[str, Mapping[int, Result]]

MOST_LABELS = 8
"""Methods (with their settings) that one figure can tell apart."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Runs by label (a method with its settings) and seed; `notes` say what is not shown."""

    title: str
    runs: ByLabel
    notes: Sequence[str]


def choose(
    runs: Runs, usable: Callable[[Result], str | None], *, most: int = MOST_LABELS
) -> Chosen:
    """The group of runs to show, with the most equal task weights (v1 nearest to 0.5).

    `usable` returns why a run cannot be shown, or None. Only groups with at least half as many
    runs as the largest are considered, so that a lone run does not stand for a scan.

    Raises NothingToDraw, with the reasons, if no run can be shown.
    """
    reasons: dict[str, int] = {}
    fitting = []
    for run in runs.finished:
        if (reason := usable(run)) is None:
            fitting.append(run)
        else:
            reasons[reason] = reasons.get(reason, 0) + 1
    why = [f"{reason} ({number_of_runs(count)})" for reason, count in reasons.items()]
    if not fitting:
        raise NothingToDraw("; ".join(why) or "no finished run")
    groups = [
        (group, group.by_label(without=JUDGE))
        for group in alike(fitting, but_for=["seed", *METHOD, *JUDGE])
    ]
    group, found = nearest_to_equal(groups)
    labels = _every_method_first(found)[:most]
    notes = list(why)
    if rest := [label for label in found if label not in labels]:
        notes.append(", ".join(rest))
    repeats = sum(len(one.runs) - size(by_label) for one, by_label in groups)
    elsewhere = len(fitting) - repeats - size(found)
    if elsewhere:
        notes.append(f"other problems, task weights or settings ({number_of_runs(elsewhere)})")
    if repeats:
        notes.append(f"repeats of another one ({number_of_runs(repeats)})")
    return Chosen(
        title=describe(group.runs[0]),
        runs={label: found[label] for label in in_order(labels)},
        notes=[f"Not shown: {'; '.join(notes)}."] if notes else [],
    )


def nearest_to_equal(groups: Sequence[tuple[Alike, ByLabel]]) -> tuple[Alike, ByLabel]:
    """Of the large groups, the group with the most equal task weights."""
    largest = max(size(by_label) for _, by_label in groups)
    large = [one for one in groups if 2 * size(one[1]) >= largest]
    return min(large, key=lambda one: (distance_to_equal(one[0].runs[0]), -size(one[1])))


def distance_to_equal(run: Result) -> float:
    """Sum of the absolute differences of task weights to equal weights; 2 |v1 - 0.5| for two."""
    weights = list(run.task_weights.values())
    return round(sum(abs(weight - 1 / len(weights)) for weight in weights), 9)


def best_on_validation(runs: Mapping[int, Result]) -> Result:
    """The run with the best last task on validation data; the lowest seed among equal runs."""
    best = best_of(list(runs.values()))
    return best or min(runs.values(), key=lambda run: float(run.valid["loss"]))


def describe(run: Result) -> str:
    """Problem, task weights and number of events in a few words."""
    weights = [f"{weight:g}" for weight in run.task_weights.values()]
    told = [run.problem]
    if len(weights) > 1:
        several = f"weights {', '.join(weights)}"
        told.append(several if len(weights) > 2 else f"$v_1$ = {weights[0]}")
    if events := run.data.get("events"):
        told.append(f"{events:,} events")
    return ", ".join(told)


def with_outputs(run: Result) -> str | None:
    """Why a run has no outputs of its test events, or None."""
    return None if (run.directory / OUTPUTS).is_file() else f"no {OUTPUTS}"


def read_best(chosen: Chosen, read: Callable[[Result], Read]) -> tuple[dict[str, Read], list[str]]:
    """`read` each label's best run on validation data; and notes, also on runs that failed.

    Raises NothingToDraw if all runs failed.
    """
    best = {label: [best_on_validation(runs)] for label, runs in chosen.runs.items()}
    found, notes = read_all(chosen.notes, best, read)
    return {label: ones[0] for label, ones in found.items()}, notes


def read_all(
    notes: Sequence[str], runs: Mapping[str, Sequence[Result]], read: Callable[[Result], Read]
) -> tuple[dict[str, list[Read]], list[str]]:
    """`read` all runs, by label; and notes, also on runs that failed.

    Raises NothingToDraw if all runs failed.
    """
    found: dict[str, list[Read]] = {}
    failed = []
    for label, ones in runs.items():
        for run in ones:
            try:
                found.setdefault(label, []).append(read(run))
            except DataError as error:
                failed.append(f"{label}, seed {run.seed}: {error}")
    found = {label: ones for label, ones in found.items() if ones}
    if not found:
        raise NothingToDraw("; ".join(failed))
    return found, [*notes, *([f"Left out: {'; '.join(failed)}."] if failed else [])]


def told_run(run: Result) -> str:
    """Chain and seed of a run, in words."""
    return f"{run.chain}, seed {run.seed}"


def told_runs(runs: Mapping[str, Result]) -> str:
    """Which run stands for each label, in words."""
    return "; ".join(f"{label}: {told_run(run)}" for label, run in runs.items())


def task_words(run: Result, task: str) -> str:
    """The label of a task from its configuration; without a label its name."""
    return str((run.config["tasks"][task].get("words") or {}).get("label", task))


def size(by_label: ByLabel) -> int:
    """The number of runs."""
    return sum(map(len, by_label.values()))


def _every_method_first(found: ByLabel) -> list[str]:
    """The labels: first one label of every method, then methods' further labels."""
    labels = in_order(list(found))
    methods = [method_of(label) for label in labels]
    earlier = [methods[:place].count(method) for place, method in enumerate(methods)]
    return [label for _, label in sorted(zip(earlier, labels, strict=True), key=lambda one: one[0])]
