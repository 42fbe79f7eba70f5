"""The runs one figure can show together, and what to say about those it does not show.

A figure of single runs shows one group: the same problem, events, task weights, candidates and
recipe, so that only method and seed differ. Imports no PyTorch.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from matplotlib.figure import Figure as Drawing

from msnas.errors import DataError
from msnas.report.collect import FinishedRun
from msnas.report.figure import NothingToDraw
from msnas.report.figure_groups import Group, group_runs
from msnas.report.outputs import NAME
from msnas.report.scan import Scan
from msnas.report.selected import best_run

Read = TypeVar("Read")

MOST_LABELS = 8
"""Methods (with their settings) that one figure can tell apart."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Runs by label (a method with its settings) and seed; `notes` say what is not shown."""

    title: str
    runs: Mapping[str, Mapping[int, FinishedRun]]
    notes: Sequence[str]


def choose(
    scan: Scan, usable: Callable[[FinishedRun], str | None], *, most: int = MOST_LABELS
) -> Chosen:
    """The group of runs to show: task weights nearest to equal ones (v1 nearest to 0.5).

    `usable` returns why a run cannot be shown, or None. Only groups with at least half as many
    runs as the largest are looked at, so that a lone run does not stand for a scan.

    Raises NothingToDraw, with the reasons, if no run can be shown.
    """
    reasons: dict[str, int] = {}
    fitting = []
    for run in scan.runs:
        if (reason := usable(run)) is None:
            fitting.append(run)
        else:
            reasons[reason] = reasons.get(reason, 0) + 1
    why = [f"{reason} ({number_of_runs(count)})" for reason, count in reasons.items()]
    if not fitting:
        raise NothingToDraw("; ".join(why) or "no finished run")
    groups, repeats = group_runs(fitting)
    group = nearest_to_equal(groups)
    labels = _every_method_first(group)[:most]
    notes = list(why)
    if rest := [label for label in group.runs if label not in labels]:
        notes.append(", ".join(rest))
    elsewhere = len(fitting) - len(repeats) - _size(group)
    if elsewhere:
        notes.append(f"other problems, task weights or settings ({number_of_runs(elsewhere)})")
    if repeats:
        notes.append(f"repeats of another one ({number_of_runs(len(repeats))})")
    return Chosen(
        title=describe(group.first),
        runs={label: runs for label, runs in group.runs.items() if label in labels},
        notes=[f"Not shown: {'; '.join(notes)}."] if notes else [],
    )


def nearest_to_equal(groups: Sequence[Group]) -> Group:
    """Of the large groups, the one with the task weights nearest to equal ones."""
    largest = max(map(_size, groups))
    large = [group for group in groups if 2 * _size(group) >= largest]
    return min(large, key=lambda group: (distance_to_equal(group.first), -_size(group)))


def distance_to_equal(run: FinishedRun) -> float:
    """How far the task weights are from equal ones; for two tasks 2 |v1 - 0.5|."""
    weights = _weights(run)
    return round(sum(abs(weight - 1 / len(weights)) for weight in weights), 9)


def best_on_validation(runs: Mapping[int, FinishedRun]) -> FinishedRun:
    """The run with the best last task on validation data; the lowest seed if several are."""
    best = best_run(runs.values())
    if best is not None:
        return best.run
    return min(runs.values(), key=lambda run: run.result["metrics"]["valid"]["loss"])


def describe(run: FinishedRun) -> str:
    """Problem, task weights and number of events in a few words."""
    weights = _weights(run)
    told = []
    if len(weights) == 2:
        told = [f"$v_1$ = {weights[0]:g}"]
    elif len(weights) > 2:
        told = ["weights " + ", ".join(f"{weight:g}" for weight in weights)]
    events = run.result["data"].get("events")
    return ", ".join(
        [str(run.result["problem"]), *told, *([f"{events:,} events"] if events else [])]
    )


def with_outputs(run: FinishedRun) -> str | None:
    """Why a run has no outputs of its test events, or None."""
    return None if (run.directory / NAME).is_file() else f"no {NAME}"


def read_best(
    chosen: Chosen, read: Callable[[FinishedRun], Read]
) -> tuple[dict[str, Read], list[str]]:
    """`read` of each label's best run on validation data; and the notes with what failed.

    Raises NothingToDraw if every one failed.
    """
    found, failed = {}, []
    for label, runs in chosen.runs.items():
        run = best_on_validation(runs)
        try:
            found[label] = read(run)
        except DataError as error:
            failed.append(f"{label}, seed {run.seed}: {error}")
    return found, with_failures(chosen.notes, failed, nothing=not found)


def with_failures(notes: Sequence[str], failed: Sequence[str], *, nothing: bool) -> list[str]:
    """The notes and the runs that failed, which raise NothingToDraw if `nothing` is left."""
    if nothing:
        raise NothingToDraw("; ".join(failed))
    return [*notes, *([f"Left out: {'; '.join(failed)}."] if failed else [])]


def write_notes(figure: Drawing, title: str, notes: Sequence[str]) -> None:
    """The title of the runs above a figure, the notes below it."""
    width = int(figure.get_figwidth() * 17)
    figure.suptitle("\n".join(textwrap.wrap(title, int(width * 0.72))))
    if notes:
        figure.supxlabel("\n".join(textwrap.wrap(" ".join(notes), width)), fontsize=7, color="0.3")


def page_layout(title: str, notes: Sequence[str], *, height: int) -> dict[str, Any]:
    """The layout of a plotly figure with the same, of `height` [pixel] without title and legend."""
    lines = textwrap.wrap(" ".join(notes), 75)
    top = 80 + 16 * len(lines)
    return {
        "title": {
            "text": title.replace("$v_1$", "v<sub>1</sub>"),
            "font": {"size": 15},
            "subtitle": {"text": "<br>".join(lines), "font": {"size": 11}},
            "yref": "container",
            "y": 1,
            "yanchor": "top",
            "pad": {"t": 12},
        },
        "height": height + top + 100,
        "margin": {"t": top, "b": 100, "l": 60, "r": 20},
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"},
    }


def number_of_runs(count: int) -> str:
    """Such as `1 run` or `7 runs`."""
    return f"{count} run{'s' if count != 1 else ''}"


def _every_method_first(group: Group) -> list[str]:
    """The labels, the first one of every method before further settings of any."""
    methods = {label: runs[min(runs)].method for label, runs in group.runs.items()}
    labels = list(methods)
    earlier = {
        label: [methods[one] for one in labels[:place]].count(methods[label])
        for place, label in enumerate(labels)
    }
    return sorted(labels, key=earlier.__getitem__)


def _weights(run: FinishedRun) -> list[float]:
    """The task weights in the order of the tasks."""
    return list(run.result["task_weights"].values())


def _size(group: Group) -> int:
    return sum(map(len, group.runs.values()))


def told_run(run: FinishedRun) -> str:
    """Chain and seed of a run, in words."""
    return f"{' → '.join(run.selected)}, seed {run.seed}"


def told_runs(runs: Mapping[str, FinishedRun]) -> str:
    """Which run stands for each label, in words."""
    return "; ".join(f"{label}: {told_run(run)}" for label, run in runs.items())
