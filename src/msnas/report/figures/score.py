"""What the last task says of events of either class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure as Drawing
from plotly.subplots import make_subplots

from msnas.report.chosen import choose, page_layout, read_best, told_run, with_outputs, write_notes
from msnas.report.collect import FinishedRun
from msnas.report.figure import Figure
from msnas.report.histogram import Histogram, histogram
from msnas.report.outputs import BINARY, binary_of, key_of, last_task_with, read_outputs
from msnas.report.scan import Scan
from msnas.report.style import COLOURS, new_figure, style

EDGES = np.linspace(0, 1, 41)
COLUMNS = 3
CLASSES = {1: COLOURS["vermilion"], 0: COLOURS["blue"]}


@dataclass(frozen=True, kw_only=True)
class Score:
    """One run's scores by class."""

    run: str
    key: str
    field: str
    classes: Mapping[int, Histogram]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The best run of each label."""

    title: str
    task: str
    runs: Mapping[str, Score]
    notes: Sequence[str]


@final
class ScoreByClass(Figure[Scores]):
    """A panel per method, a histogram per class."""

    name: ClassVar[str] = "score"
    title: ClassVar[str] = "Score by class"
    caption: ClassVar[str] = (
        "Probability of class 1 that the last task gives to test events of each class; every "
        "histogram has the area 1. Of each method the run that is best on validation data. Of the "
        "scanned task weights, those nearest to equal ones."
    )

    def data(self, scan: Scan) -> Scores:
        """The histograms of each method's best run on validation data."""
        chosen = choose(scan, _usable)
        found, notes = read_best(chosen, _score)
        run = next(iter(next(iter(chosen.runs.values())).values()))
        return Scores(
            title=chosen.title, task=str(last_task_with(run, BINARY)), runs=found, notes=notes
        )

    def draw(self, data: Scores) -> Drawing:
        """The histograms."""
        columns = min(len(data.runs), COLUMNS)
        rows = -(-len(data.runs) // columns)
        with style():
            figure, axes = new_figure(rows, columns, panel=(3.6, 3.0), sharex=True, sharey=True)
            for panel in axes.flat[len(data.runs) :]:
                panel.set_axis_off()
            for panel, (label, score) in zip(axes.flat, data.runs.items(), strict=False):
                for one, colour in CLASSES.items():
                    score.classes[one].draw(
                        panel,
                        label=f"{score.field} = {one}",
                        color=colour,
                        histtype="fill" if one else "step",
                        **({"alpha": 0.35} if one else {"linewidth": 1.4}),
                        errors=False,
                    )
                    score.classes[one].draw(panel, histtype="errorbar", color=colour, markersize=2)
                panel.set_title(f"{label}: {score.run}")
                panel.set_xlim(0, 1)
                panel.tick_params(labelbottom=True)
                panel.set_xlabel(f"score of {data.task}")
            top = max(
                one.density.max() for score in data.runs.values() for one in score.classes.values()
            )
            axes[0, 0].set_ylim(0, 1.3 * top)
            axes[0, 0].legend(loc="upper center")
            for row in axes:
                row[0].set_ylabel("density")
            write_notes(figure, data.title, data.notes)
        return figure

    def interactive(self, data: Scores) -> go.Figure:
        """The same."""
        columns = min(len(data.runs), COLUMNS)
        rows = -(-len(data.runs) // columns)
        figure = make_subplots(
            rows=rows,
            cols=columns,
            shared_yaxes=True,
            subplot_titles=[f"{label}<br>{score.run}" for label, score in data.runs.items()],
        )
        for place, (label, score) in enumerate(data.runs.items()):
            for one, colour in CLASSES.items():
                figure.add_trace(
                    score.classes[one].trace(
                        line={"color": colour},
                        fill="tozeroy" if one else None,
                        name=f"{score.field} = {one}",
                        legendgroup=str(one),
                        showlegend=place == 0,
                        customdata=[score.key] * len(EDGES),
                        hovertemplate=(
                            f"{label}, {score.field} = {one}<br>from %{{x}}: %{{y}} %{{text}}"
                            "<br>run %{customdata}<extra></extra>"
                        ),
                    ),
                    row=place // columns + 1,
                    col=place % columns + 1,
                )
        figure.update_xaxes(title=f"score of {data.task}", range=[0, 1])
        figure.update_yaxes(title="density", col=1)
        figure.update_annotations(font_size=12)
        figure.update_layout(page_layout(data.title, data.notes, height=300 * rows))
        return figure


def _usable(run: FinishedRun) -> str | None:
    if last_task_with(run, BINARY) is None:
        return f"{run.result['problem']} has no task with two classes"
    return with_outputs(run)


def _score(run: FinishedRun) -> Score:
    outputs = read_outputs(run)
    task = str(last_task_with(run, BINARY))
    score, label = binary_of(outputs, task)
    return Score(
        run=told_run(run),
        key=key_of(run),
        field=str(run.config["tasks"][task]["target"]),
        classes={
            one: histogram(score[label == one], outputs.weight[label == one], EDGES)
            for one in CLASSES
        },
    )
