"""Time and performance against the number of candidates (paper, Fig. 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from plotly.subplots import make_subplots
from scipy import stats

from msnas.identity import digest
from msnas.report.chosen import (
    describe,
    distance_to_equal,
    number_of_runs,
    page_layout,
    write_notes,
)
from msnas.report.collect import FinishedRun
from msnas.report.figure import Figure, NothingToDraw
from msnas.report.figure_groups import Group, group_runs, metrics_with_direction
from msnas.report.outputs import key_of
from msnas.report.scan import Scan
from msnas.report.style import Look, looks, new_figure, style

STAGES = {
    "search and post-training [s]": ("search", "posttrain"),
    "with pre-training [s]": ("pretrain", "search", "posttrain"),
}


@dataclass(frozen=True, kw_only=True)
class Point:
    """One run: candidates per task, seconds by panel, the last task's test metric."""

    key: str
    seed: int
    candidates: float
    seconds: Mapping[str, float]
    metric: float


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """seconds = `factor` * candidates^`exponent`, with its error if there are three numbers."""

    factor: float
    exponent: float
    error: float | None

    def __str__(self) -> str:
        error = "" if self.error is None else f" ± {self.error:.2f}"
        return f"a = {self.exponent:.2f}{error}"


@dataclass(frozen=True, kw_only=True)
class Points:
    """Runs by label, and by panel and label the fitted power law."""

    title: str
    metric: str
    runs: Mapping[str, Sequence[Point]]
    laws: Mapping[str, Mapping[str, PowerLaw]]
    notes: Sequence[str]


@final
class Scaling(Figure[Points]):
    """Two kinds of time, and the last task's metric."""

    name: ClassVar[str] = "fig7_scaling"
    title: ClassVar[str] = "Time and performance against the number of candidates"
    caption: ClassVar[str] = (
        "Seconds of training and the last task's test metric against the mean number of candidates "
        "per task; small: single runs; large, on paper: their median. Trainings taken from the "
        "cache count with the seconds they once took. Dashed: C x^a, least squares in both "
        "logarithms, with the standard error of a from three numbers of candidates on. After "
        "Fig. 7 of the paper, which finds a near 1 for DARTS and SPOS and near 2 for grid search."
    )

    def data(self, scan: Scan) -> Points:
        """The runs that differ in method, seed and candidates alone."""
        families: dict[str, list[Group]] = {}
        groups, _ = group_runs(scan.runs)
        for group in groups:
            families.setdefault(_family(group), []).append(group)
        family = max(families.values(), key=_worth, default=[])
        if len({_candidates(group.first) for group in family}) < 2:
            raise NothingToDraw(
                "all runs that could be compared have the same number of candidates per task"
            )
        metric = next(iter(metrics_with_direction(family[0].first, family[0].first.tasks[-1:])), "")
        if not metric:
            raise NothingToDraw("the last task has no metric of one number")
        runs: dict[str, list[Point]] = {}
        for group in family:
            for label, by_seed in group.runs.items():
                runs.setdefault(label, []).extend(_point(run, metric) for run in by_seed.values())
        runs = {
            label: sorted(points, key=lambda one: (one.candidates, one.seed))
            for label, points in sorted(runs.items())
        }
        elsewhere = len(scan.runs) - sum(map(len, runs.values()))
        return Points(
            title=describe(family[0].first),
            metric=metric,
            runs=runs,
            laws={panel: _laws(runs, panel) for panel in STAGES},
            notes=[f"Not shown: {number_of_runs(elsewhere)} of other settings or repeated."]
            if elsewhere
            else [],
        )

    def draw(self, data: Points) -> Drawing:
        """Three panels."""
        with style():
            figure, axes = new_figure(1, 3, panel=(3.8, 3.4))
            look = looks(list(data.runs))
            for axis, panel in zip(axes[0], [*STAGES, data.metric], strict=True):
                for label, points in data.runs.items():
                    law = data.laws.get(panel, {}).get(label)
                    _draw_points(axis, _values(points, panel), look[label], label, law)
                axis.set(xscale="log", ylabel=panel, xlabel="candidates per task")
                sizes = sorted({one.candidates for points in data.runs.values() for one in points})
                axis.set_xticks(sizes, [f"{size:g}" for size in sizes])
                axis.set_xticks([], minor=True)
                axis.margins(x=0.15, y=0.15)
                if panel in STAGES:
                    axis.set_yscale("log")
                axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
            write_notes(figure, data.title, data.notes)
        return figure

    def interactive(self, data: Points) -> go.Figure:
        """The same."""
        panels = [*STAGES, data.metric]
        figure = make_subplots(cols=3, subplot_titles=panels, horizontal_spacing=0.08)
        for column, panel in enumerate(panels, start=1):
            for label, look in looks(list(data.runs)).items():
                values = _values(data.runs[label], panel)
                shared: dict[str, Any] = {"legendgroup": label, "row": 1, "col": column}
                figure.add_scatter(
                    x=[one.candidates for one, _ in values],
                    y=[value for _, value in values],
                    mode="markers",
                    marker={"color": look.colour, "symbol": look.plotly_marker, "size": 9},
                    name=label,
                    showlegend=column == 1,
                    text=[f"seed {one.seed}" for one, _ in values],
                    customdata=[one.key for one, _ in values],
                    hovertemplate=(
                        f"{label}, %{{text}}<br>%{{x}} candidates: %{{y:.4g}}"
                        "<br>run %{customdata}<extra></extra>"
                    ),
                    **shared,
                )
                if (law := data.laws.get(panel, {}).get(label)) is not None:
                    ends = [values[0][0].candidates, values[-1][0].candidates]
                    figure.add_scatter(
                        x=ends,
                        y=[law.factor * end**law.exponent for end in ends],
                        mode="lines",
                        line={"color": look.colour, "dash": "dash"},
                        name=f"{label}: {law}",
                        hovertemplate=f"{label}: {law}<extra></extra>",
                        showlegend=panel == panels[0],
                        **shared,
                    )
            if panel in STAGES:
                figure.update_yaxes(type="log", col=column)
        sizes = sorted({one.candidates for points in data.runs.values() for one in points})
        figure.update_xaxes(
            title="candidates per task",
            type="log",
            tickvals=sizes,
            ticktext=[f"{size:g}" for size in sizes],
        )
        figure.update_layout(page_layout(data.title, data.notes, height=340))
        return figure


def power_law(candidates: Sequence[float], seconds: Sequence[float]) -> PowerLaw | None:
    """Least squares of log(seconds) on log(candidates); None for less than two numbers."""
    sizes = len(set(candidates))
    if sizes < 2:
        return None
    fit = stats.linregress(np.log(candidates), np.log(seconds))
    return PowerLaw(
        factor=float(np.exp(fit.intercept)),
        exponent=float(fit.slope),
        error=float(fit.stderr) if sizes > 2 else None,
    )


def _draw_points(
    axis: Axes,
    values: Sequence[tuple[Point, float]],
    look: Look,
    label: str,
    law: PowerLaw | None,
) -> None:
    if not values:
        return
    axis.plot(
        [one.candidates for one, _ in values],
        [value for _, value in values],
        color=look.colour,
        marker=look.marker,
        markersize=2.5,
        alpha=0.6,
        linestyle="none",
    )
    sizes = sorted({one.candidates for one, _ in values})
    middles = [
        float(np.median([value for one, value in values if one.candidates == size]))
        for size in sizes
    ]
    axis.plot(
        sizes,
        middles,
        color=look.colour,
        marker=look.marker,
        markersize=6,
        linestyle="none",
        label=f"{label}: {law}" if law else label,
    )
    if law:
        ends = np.array([sizes[0], sizes[-1]])
        axis.plot(ends, law.factor * ends**law.exponent, color=look.colour, ls="--", lw=1)


def _values(points: Sequence[Point], panel: str) -> list[tuple[Point, float]]:
    """What a panel shows of each run; no time of 0, which has no logarithm."""
    if panel not in STAGES:
        return [(one, one.metric) for one in points]
    return [(one, one.seconds[panel]) for one in points if one.seconds[panel] > 0]


def _laws(runs: Mapping[str, Sequence[Point]], panel: str) -> dict[str, PowerLaw]:
    laws = {}
    for label, points in runs.items():
        values = _values(points, panel)
        law = power_law([one.candidates for one, _ in values], [value for _, value in values])
        if law is not None:
            laws[label] = law
    return laws


def _point(run: FinishedRun, metric: str) -> Point:
    stages = run.result.get("stages", {})
    return Point(
        key=key_of(run),
        seed=run.seed,
        candidates=_candidates(run),
        seconds={
            panel: sum(
                stages[name]["seconds"] + stages[name].get("cached_seconds", 0.0)
                for name in names
                if name in stages
            )
            for panel, names in STAGES.items()
        },
        metric=float(run.result["metrics"]["test"][metric]),
    )


def _candidates(run: FinishedRun) -> float:
    """Mean number of candidates per task."""
    return sum(map(len, run.candidates)) / len(run.tasks)


def _family(group: Group) -> str:
    """The same for groups that differ in their candidates alone."""
    tasks = {
        task: {key: value for key, value in settings.items() if key != "candidates"}
        for task, settings in group.settings["tasks"].items()
    }
    return digest({**group.settings, "tasks": tasks})


def _worth(family: Sequence[Group]) -> tuple[int, float, int]:
    """Numbers of candidates first, then task weights near to equal ones, then runs."""
    return (
        len({_candidates(group.first) for group in family}),
        -distance_to_equal(family[0].first),
        sum(len(by_seed) for group in family for by_seed in group.runs.values()),
    )
