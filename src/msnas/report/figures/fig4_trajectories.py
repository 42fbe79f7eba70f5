"""The way of alpha and theta during the search (paper, Fig. 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import plotly.graph_objects as go
from matplotlib.figure import Figure as Drawing
from plotly.subplots import make_subplots

from msnas.errors import MsnasError
from msnas.report.chosen import choose, page_layout, write_notes
from msnas.report.collect import FinishedRun
from msnas.report.figure import Figure
from msnas.report.outputs import key_of
from msnas.report.scan import Scan
from msnas.report.style import COLOURS, candidate_colour, new_figure, style
from msnas.report.trajectories import Trajectory, read_trajectories
from msnas.run_directory import RunDirectory

MOST_METHODS = 5
MOST_SEEDS = 10
MOST_CANDIDATES = 8
"""A figure with more of them cannot be read."""

REST = "#bbbbbb"


@dataclass(frozen=True, kw_only=True)
class Way:
    """One run's probabilities by task and candidate, each [epoch]."""

    seed: int
    key: str
    symbol: str
    epochs: Sequence[int]
    probabilities: Mapping[str, Mapping[str, Sequence[float]]]


@dataclass(frozen=True, kw_only=True)
class Ways:
    """Each label's runs in the order of their seeds; by task the colour of every candidate."""

    title: str
    colours: Mapping[str, Mapping[str, str]]
    runs: Mapping[str, Sequence[Way]]
    notes: Sequence[str]


@final
class Trajectories(Figure[Ways]):
    """A row per method, a panel per task, a colour per candidate."""

    name: ClassVar[str] = "fig4_trajectories"
    title: ClassVar[str] = "How the search decides"
    caption: ClassVar[str] = (
        "Probability of every candidate at the end of each epoch of the search: softmax(alpha) for "
        "DARTS, theta for ASNG. Thick: the run with the lowest seed; thin: other seeds. Early "
        "stopping ends a line. Of the scanned task weights, those nearest to equal ones. After "
        "Fig. 4 of the paper, which shows alpha itself, as the files in a run's directory do."
    )

    def data(self, scan: Scan) -> Ways:
        """The trajectories of up to ten seeds of each method that has them."""
        found: dict[str, Trajectory] = {}

        def usable(run: FinishedRun) -> str | None:
            try:
                ones = read_trajectories(RunDirectory(run.directory).history())
            except (MsnasError, OSError, ValueError, KeyError):
                return "no readable history.jsonl"
            if not ones:
                return f"{run.method} has neither alpha nor theta"
            found[key_of(run)] = ones[0]
            return None

        chosen = choose(scan, usable, most=MOST_METHODS)
        notes = list(chosen.notes)
        runs = {}
        for label, by_seed in chosen.runs.items():
            runs[label] = [
                _way(run, found[key_of(run)]) for run in list(by_seed.values())[:MOST_SEEDS]
            ]
            if len(by_seed) > MOST_SEEDS:
                notes.append(f"{label}: {MOST_SEEDS} of {len(by_seed)} seeds.")
        colours = {
            task: _colours(task, runs) for task in next(iter(runs.values()))[0].probabilities
        }
        for task, of_task in colours.items():
            if rest := list(of_task.values()).count(REST):
                notes.append(f"{task}: {rest} of {len(of_task)} candidates in grey.")
        return Ways(title=chosen.title, colours=colours, runs=runs, notes=notes)

    def draw(self, data: Ways) -> Drawing:
        """Probability against epoch."""
        with style():
            figure, axes = new_figure(
                len(data.runs), len(data.colours), panel=(4.2, 2.6), sharex=True, sharey=True
            )
            for row, (label, ways) in enumerate(data.runs.items()):
                for column, (task, colours) in enumerate(data.colours.items()):
                    panel = axes[row, column]
                    for place, way in reversed(list(enumerate(ways))):
                        for candidate, values in way.probabilities[task].items():
                            panel.plot(
                                way.epochs,
                                values,
                                color=colours[candidate],
                                linewidth=0.6 if place else 2.0,
                                alpha=0.5 if place else 1.0,
                                label=None if place or colours[candidate] == REST else candidate,
                            )
                    panel.set_ylim(0, 1)
                    panel.set_title(f"{label}: {task}" if column == 0 else task)
                    if row == len(data.runs) - 1:
                        panel.set_xlabel("epoch of the search")
                        panel.legend(
                            loc="upper center", bbox_to_anchor=(0.5, -0.3), ncols=4, handlelength=1
                        )
                axes[row, 0].set_ylabel(f"probability ({ways[0].symbol})", loc="center")
            write_notes(figure, data.title, data.notes)
        return figure

    def interactive(self, data: Ways) -> go.Figure:
        """The same; a candidate's name in the legend shows and hides it."""
        figure = make_subplots(
            rows=len(data.runs),
            cols=len(data.colours),
            shared_xaxes=True,
            shared_yaxes=True,
            vertical_spacing=0.25 / (len(data.runs) + 1),
            subplot_titles=[f"{label}: {task}" for label in data.runs for task in data.colours],
        )
        listed: set[str] = set()
        for row, ways in enumerate(data.runs.values(), start=1):
            for column, (task, colours) in enumerate(data.colours.items(), start=1):
                for place, way in enumerate(ways):
                    for candidate, values in way.probabilities[task].items():
                        grey = colours[candidate] == REST
                        name = "others" if grey else candidate
                        group = f"{task}: {name}"
                        figure.add_scatter(
                            x=list(way.epochs),
                            y=[round(value, 4) for value in values],
                            mode="lines",
                            line={"color": colours[candidate], "width": 1 if place else 3},
                            opacity=0.5 if place else 1.0,
                            name=group,
                            legendgroup=group,
                            showlegend=group not in listed,
                            customdata=[way.key] * len(values),
                            hovertemplate=(
                                f"{candidate}, seed {way.seed}<br>epoch %{{x}}: %{{y:.3f}}"
                                "<br>run %{customdata}<extra></extra>"
                            ),
                            row=row,
                            col=column,
                        )
                        listed.add(group)
        figure.update_yaxes(range=[0, 1])
        figure.update_yaxes(title="probability", col=1)
        figure.update_xaxes(title="epoch of the search", row=len(data.runs))
        figure.update_layout(
            page_layout(data.title, data.notes, height=60 + 200 * len(data.runs)),
        )
        return figure


def _way(run: FinishedRun, trajectory: Trajectory) -> Way:
    return Way(
        seed=run.seed,
        key=key_of(run),
        symbol=trajectory.label,
        epochs=trajectory.epochs,
        probabilities={
            task: {candidate: values.tolist() for candidate, values in of_task.items()}
            for task, of_task in trajectory.probabilities().items()
        },
    )


def _colours(task: str, runs: Mapping[str, Sequence[Way]]) -> dict[str, str]:
    """A colour for each candidate, none twice; grey for those that never are among the first."""
    largest: dict[str, float] = {}
    for ways in runs.values():
        for candidate, values in ways[0].probabilities[task].items():
            largest[candidate] = max(largest.get(candidate, 0.0), max(values))
    shown = sorted(largest, key=lambda one: -largest[one])[:MOST_CANDIDATES]
    colours = dict.fromkeys(largest, REST)
    for candidate in [one for one in largest if one in shown]:
        own = candidate_colour(candidate)
        free = [one for one in COLOURS.values() if one not in colours.values()]
        colours[candidate] = own if own in free else free[0]
    return colours
