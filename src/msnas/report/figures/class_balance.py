"""Accuracy of rare and frequent events against a parameter of the loss (the talk's main figure)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, final

import plotly.graph_objects as go
from matplotlib.figure import Figure as Drawing

from msnas.report.class_panels import class_panels, has_class_metric
from msnas.report.figure import Figure, NothingToDraw
from msnas.report.gaps import gap_notes
from msnas.report.loss_parameters import loss_parameters, words
from msnas.report.panels import BANDS, Panels, draw_panels, interactive_panels
from msnas.report.parameter_axis import SIGNS, axis_of
from msnas.report.scan import Scan
from msnas.report.seconds import seconds_notes


@final
class ClassBalance(Figure[Panels]):
    """A row for each parameter; accuracies of both classes, balanced accuracy, AUC."""

    name: ClassVar[str] = "class_balance"
    title: ClassVar[str] = "Accuracy of each class against the loss's parameter"
    caption: ClassVar[str] = (
        "Test accuracy of the minor and the major class, their mean (balanced accuracy) and the "
        "AUC against a scalar parameter of the loss, such as 1 - beta of the class-balanced loss: "
        "1 is cross entropy (CE), 0 inverse class frequency (ICE). Points are trainings at a fixed "
        "value, lines are trainings for a whole range of values at once (YOTO), judged at some of "
        f"them. {BANDS} After the talk."
    )

    def data(self, scan: Scan) -> Panels:
        """Every parameter of a loss of a classification that takes two values."""
        parameters = [
            one
            for one in loss_parameters(scan.runs)
            if has_class_metric([*one.fixed, *one.once][0], one.task)
        ]
        rows, notes = [], []
        for one in parameters:
            axis = axis_of(one.name, one.all_values())
            kinds = [(once, partial(one.values, once=once)) for once in (False, True)]
            panels = class_panels(one.task, f"{words(one.loss)} loss of {one.task}", axis, kinds)
            if panels:
                rows.append(panels)
                series = [series for panel in panels for series in panel.series]
                own = [*gap_notes(series, axis), *seconds_notes(one.fixed, one.once), *one.notes]
                sign = SIGNS.get(one.name, ("", one.name))[1]
                notes += [f"{sign}: {note}" for note in own] if len(parameters) > 1 else own
        if not rows:
            raise NothingToDraw(
                "no scalar parameter of a classification's loss takes two values in runs that are "
                "otherwise the same, and no run was trained for a range of one"
            )
        return Panels(title=str(scan.runs[0].result["problem"]), rows=rows, notes=notes)

    def draw(self, data: Panels) -> Drawing:
        """Rows of three panels."""
        return draw_panels(data)

    def interactive(self, data: Panels) -> go.Figure:
        """The same."""
        return interactive_panels(data)
