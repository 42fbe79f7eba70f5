"""Two tasks on shared layers."""

from __future__ import annotations

import pandas as pd

from msnas.plots.against import (
    BARS,
    gap_notes,
    left_note,
    numbers,
    panel_of,
    seconds_notes,
    with_kinds,
)
from msnas.plots.axes import metric_axis, weight_axis
from msnas.plots.grammar import Chart, Look, NothingToDraw
from msnas.plots.look import COLOURS
from msnas.plots.plane import UNTRAINED, over_weights, two_tasks
from msnas.results.alike import SPLIT, WEIGHTS, largest
from msnas.results.result import TASK_WEIGHT
from msnas.results.runs import Runs

NO_LOSS = "At weight 0 and 1 one task has no loss; its metric there is no result, and not shown."


def chart(runs: Runs) -> Chart:
    """The test metrics of both tasks against the weight of the first (the second has the rest).

    Both share the layers of the task without a loss in front of them. Points are trainings at a
    fixed weight, lines are trainings for a whole range of weights at once (YOTO), judged at some of
    them. At weight 0 and 1 one task is not trained, and not shown.
    """
    if runs.finished and len(runs.finished[0].supervised) == len(runs.finished[0].tasks):
        raise NothingToDraw("no task without a loss, so no layers that are only shared")
    tasks = two_tasks(runs.finished)
    able = [run for run in runs.finished if run.fixed_v1 is not None or over_weights(run)]
    kept, left = largest(able, but_for=["seed", *SPLIT, *WEIGHTS])
    frame = pd.concat(
        numbers(kept, one.name, lambda run: run.fixed_v1, parameter=TASK_WEIGHT).assign(
            panel=one.name, series=one.label, blind=blind
        )
        for one, blind in zip(tasks, UNTRAINED, strict=True)
    )
    untrained = (frame["x"] == frame["blind"]) & ~frame["once"]
    frame = frame[~untrained]
    values = sorted(set(frame["x"]))
    if len(values) < 2:
        raise NothingToDraw("no two weights of the first task in runs otherwise the same")
    kinds = [[run for run in kept if run.conditioned == once] for once in (False, True)]
    notes = [BARS, *gap_notes(frame), *seconds_notes(*kinds), *left_note(left)]
    notes += [NO_LOSS] if untrained.any() else []
    colours = (COLOURS["vermilion"], COLOURS["blue"])
    looks = {one.label: Look(colour=colour) for one, colour in zip(tasks, colours, strict=True)}
    frame, looks = with_kinds(frame, looks)
    panels = [
        panel_of(
            frame[frame["panel"] == one.name],
            looks,
            x=weight_axis(values),
            y=metric_axis(one, direction=True),
            apart=0.02,
        )
        for one in tasks
    ]
    title = runs.finished[0].problem
    return Chart(title=title, panels=panels, columns=2, size=(4.6, 3.8), notes=notes)
