"""Accuracy of each class against the loss's parameter."""

from __future__ import annotations

from functools import partial

import pandas as pd

from msnas.plots.against import BARS, gap_notes, left_note, numbers, seconds_notes, with_kinds
from msnas.plots.axes import KNOWN, SIGNS, parameter_axis
from msnas.plots.choose import task_words
from msnas.plots.class_panels import LOOKS, class_panels, class_rows, has_class_metric
from msnas.plots.grammar import Chart, NothingToDraw
from msnas.plots.parameters import loss_parameters, words
from msnas.results.runs import Runs


def chart(runs: Runs) -> Chart:
    """Test accuracy of the minor and the major class against a scalar parameter of the loss.

    Also their mean (balanced accuracy) and the AUC. Such a parameter is 1 - beta of the class-
    balanced loss: 1 is cross entropy (CE), 0 inverse class frequency (ICE). Points are trainings at
    a fixed value, lines are trainings for a whole range of values at once (YOTO), judged at some of
    them. After the talk.
    """
    parts, notes = [], []
    parameters = [
        one for one in loss_parameters(runs.finished) if has_class_metric(one.runs[0], one.task)
    ]
    for one in parameters:
        read = partial(numbers, one.runs, x=one.of, parameter=one.key)
        rows = class_rows(
            one.task, f"{words(one.loss)} loss of {task_words(one.runs[0], one.task)}", read
        )
        parts.append(rows.assign(parameter=one.key))
        kinds = [[run for run in one.runs if run.conditioned == once] for once in (False, True)]
        own = [*gap_notes(rows, KNOWN.get(one.name)), *seconds_notes(*kinds), *left_note(one.left)]
        sign = SIGNS.get(one.name, one.name)
        notes += [f"{sign}: {note}" for note in own] if len(parameters) > 1 else own
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if frame.empty:
        raise NothingToDraw(
            "no scalar parameter of a classification's loss takes two values in runs that are "
            "otherwise the same, and no run was trained for a range of it"
        )
    frame, looks = with_kinds(frame, LOOKS)
    panels = []
    for one in parameters:
        axis = parameter_axis(one.name, one.values())
        panels += class_panels(frame[frame["parameter"] == one.key], looks, axis, apart=0.16)
    columns = frame.groupby("row")["panel"].nunique().max()
    title = runs.finished[0].problem
    return Chart(title=title, panels=panels, columns=columns, notes=[BARS, *notes])
