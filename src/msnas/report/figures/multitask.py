"""Two tasks on shared layers against the weight of the first (the talk's multi-task training)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, final

import plotly.graph_objects as go
from matplotlib.figure import Figure as Drawing

from msnas.report.alike import most_alike
from msnas.report.collect import FinishedRun
from msnas.report.figure import Figure, NothingToDraw
from msnas.report.gaps import gap_notes
from msnas.report.loss_parameters import condition_values
from msnas.report.outputs import key_of
from msnas.report.panels import (
    BANDS,
    Panel,
    Panels,
    Series,
    Value,
    draw_panels,
    interactive_panels,
)
from msnas.report.parameter_axis import ParameterAxis, weight_axis
from msnas.report.quantities import Quantity
from msnas.report.scan import Scan
from msnas.report.seconds import seconds_notes
from msnas.report.style import COLOURS
from msnas.report.two_tasks import (
    TASK_WEIGHT,
    WEIGHTS,
    fixed_weight,
    over_weights,
    two_tasks,
)

LONGEST = 2.5
"""If the untrained task at an end makes an axis longer than this, the axis leaves it out."""


@final
class Multitask(Figure[Panels]):
    """A panel for each task."""

    name: ClassVar[str] = "multitask"
    title: ClassVar[str] = "Two tasks on shared layers"
    caption: ClassVar[str] = (
        "The test metrics of both tasks, which share the layers of the task without a loss in "
        "front of them, against the weight of the first (the second has the rest). Points are "
        "trainings at a fixed weight, lines are trainings for a whole range of weights at once "
        f"(YOTO), judged at some of them. At weight 0 and 1 one task is not trained. {BANDS}"
    )

    def data(self, scan: Scan) -> Panels:
        """Runs with fixed weights, and those trained for a range of them."""
        if scan.runs and len(scan.runs[0].supervised) == len(scan.runs[0].tasks):
            raise NothingToDraw("no task without a loss, so no layers that are only shared")
        tasks = two_tasks(scan.runs)
        runs = [run for run in scan.runs if fixed_weight(run) is not None or over_weights(run)]
        kept, notes = most_alike(runs, WEIGHTS)
        fixed = [run for run in kept if fixed_weight(run) is not None]
        once = [run for run in kept if over_weights(run)]
        values = {
            *(float(fixed_weight(run) or 0) for run in fixed),
            *(float(one["parameters"][TASK_WEIGHT]) for run in once for one in over_weights(run)),
        }
        if len(values) < 2:
            raise NothingToDraw("no two weights of the first task in runs otherwise the same")
        axis = weight_axis(sorted(values))
        panels = []
        for quantity, colour in ((tasks.first, "vermilion"), (tasks.last, "blue")):
            series = [
                Series(label=quantity.label, colour=COLOURS[colour], once=kind, values=numbers)
                for kind, numbers in (
                    (False, _numbers(fixed, quantity)),
                    (
                        True,
                        [
                            one
                            for run in once
                            for one in condition_values(run, TASK_WEIGHT, quantity.name)
                        ],
                    ),
                )
                if numbers
            ]
            panel, beyond = _panel(quantity, axis, series)
            panels.append(panel)
            notes += beyond
        first = [one for panel in panels for one in panel.series]
        notes = [*gap_notes(first, axis), *seconds_notes(fixed, once), *notes]
        return Panels(title=str(scan.runs[0].result["problem"]), rows=[panels], notes=notes)

    def draw(self, data: Panels) -> Drawing:
        """Panels side by side."""
        return draw_panels(data, panel=(4.6, 3.8))

    def interactive(self, data: Panels) -> go.Figure:
        """The same."""
        return interactive_panels(data)


def _numbers(runs: Sequence[FinishedRun], quantity: Quantity) -> list[Value]:
    return [
        Value(
            parameter=float(fixed_weight(run) or 0),
            number=float(number),
            key=key_of(run),
            told=f"weight {fixed_weight(run):g}, seed {run.seed}",
        )
        for run in runs
        if isinstance(number := run.result["metrics"]["test"].get(quantity.name), int | float)
    ]


def _panel(
    quantity: Quantity, axis: ParameterAxis, series: Sequence[Series]
) -> tuple[Panel, list[str]]:
    """The panel; its limits leave out values at the ends that would flatten the rest."""
    values = [value for one in series for value in one.values]
    inner = [value.number for value in values if 0 < value.parameter < 1]
    limits, notes = None, []
    if len(inner) > 1:
        low, high = min(inner), max(inner)
        margin = 0.1 * (high - low)
        everything = [value.number for value in values]
        if max(everything) - min(everything) > LONGEST * (high - low) > 0:
            limits = (low - margin, high + margin)
            for end in (0, 1):
                out = [
                    value.number
                    for value in values
                    if value.parameter == end and not limits[0] <= value.number <= limits[1]
                ]
                if out:
                    told = f"{min(out):.3g}" + (f" to {max(out):.3g}" if len(out) > 1 else "")
                    notes.append(f"Beyond the axis at weight {end}: {quantity.label} {told}.")
    better = "higher" if quantity.higher_is_better else "lower"
    panel = Panel(
        title=f"{better} is better",
        label=f"test {quantity.label}",
        axis=axis,
        series=series,
        limits=limits,
    )
    return panel, notes
