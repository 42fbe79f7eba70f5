"""Score by class."""

from __future__ import annotations

import numpy as np

from msnas.plots.choose import choose, read_best, task_words, told_run, with_outputs
from msnas.plots.grammar import Axis, Chart, Look, Panel, Steps
from msnas.plots.histogram import Histogram, histogram
from msnas.plots.look import COLOURS
from msnas.results.outputs import BINARY, binary_of, last_task_with, read_outputs
from msnas.results.result import Result
from msnas.results.runs import Runs

EDGES = np.linspace(0, 1, 41)
CLASSES = {1: Look(colour=COLOURS["vermilion"]), 0: Look(colour=COLOURS["blue"])}


def chart(runs: Runs) -> Chart:
    """Probability of class 1 that the last task gives to test events of each class.

    Every histogram has the area 1. Of each method the run that is best on validation data. Of the
    scanned task weights, those nearest to equal ones.
    """
    chosen = choose(runs, usable)
    found, notes = read_best(chosen, scores)
    every = [one.rows for _, classes in found.values() for one in classes.values()]
    y = Axis(
        label="density", limits=(0, 1.1 * max((one["y"] + one["error"]).max() for one in every))
    )
    panels = []
    for label, (run, classes) in found.items():
        task = str(last_task_with(run, BINARY))
        field = run.config["tasks"][task]["target"]
        layers = [
            Steps(
                rows=classes[number].rows.assign(key=run.key),
                look=look,
                label=f"{field} = {number}",
                filled=bool(number),
            )
            for number, look in CLASSES.items()
        ]
        x = Axis(label=f"score of {task_words(run, task)}", limits=(0, 1))
        panels.append(Panel(x=x, y=y, layers=layers, title=f"{label}: {told_run(run)}"))
    bars = "n = 1 run each; bars: statistical errors of its test events."
    size, title = (3.6, 3.3), chosen.title
    return Chart(
        title=title, panels=panels, columns=3, size=size, page_columns=2, notes=[bars, *notes]
    )


def usable(run: Result) -> str | None:
    """Why a run has no scores of two classes, or None."""
    if last_task_with(run, BINARY) is None:
        return f"{run.problem} has no task with two classes"
    return with_outputs(run)


def scores(run: Result) -> tuple[Result, dict[int, Histogram]]:
    """A run, and histograms of its scores by class."""
    outputs = read_outputs(run)
    score, label = binary_of(outputs, str(last_task_with(run, BINARY)))
    return run, {
        one: histogram(score[label == one], outputs.weight[label == one], EDGES) for one in CLASSES
    }
