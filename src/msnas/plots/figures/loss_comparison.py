"""Losses for rare events."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd

from msnas.plots.against import BARS, left_note, numbers, with_counts
from msnas.plots.axes import names_axis
from msnas.plots.choose import task_words
from msnas.plots.class_panels import LOOKS, class_panels, class_rows, has_class_metric
from msnas.plots.grammar import Chart, NothingToDraw
from msnas.plots.parameters import loss_of, words
from msnas.results.alike import SPLIT, largest, settings_of
from msnas.results.result import Result
from msnas.results.runs import Runs

SHARES = ("data.tau_fraction", "data.thin")
"""Settings that determine the share of rare events in training."""

ORDER = (
    *("BinaryCrossEntropy", "CrossEntropy", "InverseClassFrequency"),
    *("ClassBalanced", "Focal", "Affinity"),
)
"""Order of losses, from plain to elaborate; other losses follow."""


def chart(runs: Runs) -> Chart:
    """Test accuracy of each class, and their AUC, of runs that differ in the loss alone.

    Also the mean of both accuracies (balanced accuracy); a row for each composition of the training
    part. Validation and test events are not thinned. Of a loss with several settings, the one with
    the most compositions and runs.
    """
    plain = [run for run in runs.finished if not run.conditioned]
    task = task_with_losses(plain)
    if task is None:
        raise NothingToDraw("no classification was trained with two different losses")
    settings = ["seed", "weight", *SPLIT, f"tasks.{task}.loss", *SHARES]
    kept, left = largest([run for run in plain if loss_of(run, task)], but_for=settings)
    kinds: dict[str, dict[str, list[Result]]] = {}
    for run in kept:
        kinds.setdefault(named(run, task), {}).setdefault(setting(run, task), []).append(run)
    if len(kinds) < 2:
        raise NothingToDraw("no two losses in runs that are otherwise the same")
    names = sorted(kinds, key=lambda loss: (ORDER.index(loss) if loss in ORDER else 9, loss))
    chosen = {
        loss: max(kinds[loss].values(), key=lambda ones: (len(set(map(share, ones))), len(ones)))
        for loss in names
    }
    shown = [run for ones in chosen.values() for run in ones]
    told = {words(loss): setting(ones[0], task) for loss, ones in chosen.items()}
    special = "; ".join(f"{loss} ({one})" for loss, one in told.items() if one)
    parts = []
    for one in sorted(set(map(share, shown)), reverse=True):
        there = [run for run in shown if share(run) == one]
        read = partial(numbers, there, x=lambda run: names.index(named(run, task)))
        parts.append(class_rows(task, composition(there[0]), read))
    frame, looks = with_counts(pd.concat(parts, ignore_index=True), LOOKS)
    axis = names_axis([words(name).replace(" ", "\n") for name in names])
    return Chart(
        title=f"{runs.finished[0].problem}: losses of {task_words(kept[0], task)}",
        panels=class_panels(frame, looks, axis, apart=0.14),
        columns=frame["y_axis"].nunique(),
        size=(4.1, 3.9),
        notes=[
            BARS,
            *left_note(left),
            *left_note(len(kept) - len(shown), "other settings of a loss"),
            *([f"Settings: {special}."] if special else []),
        ],
    )


def named(run: Result, task: str) -> str:
    """The class name of a task's loss."""
    return str(loss_of(run, task)["_target_"]).rsplit(".", 1)[-1]


def setting(run: Result, task: str) -> str:
    """The settings of a task's loss, as text."""
    loss = {key: value for key, value in loss_of(run, task).items() if key != "_target_"}
    return ", ".join(f"{key} {_words(value)}" for key, value in loss.items())


def composition(run: Result) -> str:
    """The training events of each class, as in `18,000 + 2,000 training events (10 %)`."""
    counts = list((run.data.get("classes") or {}).get("train", {}).values())
    if not counts:
        return "training events as they are"
    rare = min(counts) / sum(counts)
    told = " + ".join(f"{count:,}" for count in sorted(counts, reverse=True))
    return f"{told} training events ({100 * rare:.2g} %)"


def task_with_losses(runs: Sequence[Result]) -> str | None:
    """The first classification task that runs train with at least two different losses."""
    for task in dict.fromkeys(task for run in runs for task in run.tasks):
        having = [run for run in runs if loss_of(run, task) and has_class_metric(run, task)]
        if len({named(run, task) for run in having}) > 1:
            return task
    return None


def share(run: Result) -> float:
    """The share of rare events that the settings ask for; 1 if no events are thinned out."""
    settings = settings_of(run)
    value = next((settings[key] for key in ("data.thin.fraction", *SHARES) if key in settings), 1)
    return float(value)


def _words(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)
