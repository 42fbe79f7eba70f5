"""What calibration does to each momentum: response, bias and resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from plotly.subplots import make_subplots

from msnas.errors import DataError
from msnas.report.chosen import choose, page_layout, read_best, told_runs, with_outputs, write_notes
from msnas.report.collect import FinishedRun
from msnas.report.figure import Figure
from msnas.report.histogram import Histogram, histogram
from msnas.report.outputs import (
    MOMENTUM,
    Momenta,
    jet_field,
    key_of,
    last_task_with,
    momenta_of,
    read_outputs,
)
from msnas.report.scan import Scan
from msnas.report.style import Look, looks, new_figure, style
from msnas.results.resolution import LOWEST_PT, Profile, Residuals, profile, pt_edges, residuals

MOST_METHODS = 5
BINS = 10
RESPONSE = np.linspace(0, 2.5, 51)
JETS = "jets"
JET_LOOK = Look(colour="#777777", marker="s", line="-", plotly_marker="square", plotly_line="solid")

PANELS = {
    "pt": "pT / true pT",
    "median": "median response",
    "width": "relative resolution",
    "eta": "resolution of eta",
    "phi": "resolution of phi [rad]",
}
"""Labels of the panels; all but the first are against the true pT."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One calibration: its response, and its profiles against the true pT [GeV]."""

    key: str | None
    response: Histogram
    pt: Profile
    eta: Profile
    phi: Profile

    def points(self, panel: str) -> tuple[Profile, Sequence[float], Sequence[float]]:
        """The profile of a panel, its values and their errors."""
        if panel == "median":
            return self.pt, self.pt.median, self.pt.median_error
        one = {"width": self.pt, "eta": self.eta, "phi": self.phi}[panel]
        return one, one.width, one.width_error


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Jets before calibration, then the best run of each label."""

    title: str
    lines: Mapping[str, Line]
    notes: Sequence[str]


@final
class Response(Figure[Lines]):
    """Response of pT, its median and width, widths of eta and phi."""

    name: ClassVar[str] = "response"
    title: ClassVar[str] = "pT response and resolution"
    caption: ClassVar[str] = (
        "All jets of the test events before and after calibration. Response: pT / true pT. "
        "Resolution: half the width of the central 68.27 %, for pT divided by the median response, "
        "for eta and phi of the difference to the truth. Bins of equally many jets, drawn at their "
        "median; errors are statistical, by resampling jets; event weights play no part. Of each "
        "method the run that is best on validation data, at task weights nearest to equal ones."
    )

    def data(self, scan: Scan) -> Lines:
        """The profiles of each method's best run on validation data."""
        chosen = choose(scan, _usable, most=MOST_METHODS)
        found, notes = read_best(chosen, _momenta)
        first = next(iter(found.values()))[1]
        before = residuals(first.jet, first)
        edges = pt_edges(before.true_pt, bins=BINS)
        lines = {JETS: _line(None, before, edges)}
        for label, (run, momenta) in found.items():
            lines[label] = _line(key_of(run), residuals(momenta.output, momenta), edges)
        beyond = max(line.response.beyond for line in lines.values())
        told = told_runs({label: run for label, (run, _) in found.items()})
        return Lines(
            title=chosen.title,
            lines=lines,
            notes=[f"Runs: {told}. Beyond the axis of the response: up to {beyond:.1%}.", *notes],
        )

    def draw(self, data: Lines) -> Drawing:
        """Five panels; the sixth place holds the legend."""
        with style():
            figure, axes = new_figure(2, 3, panel=(3.9, 3.0))
            response, *profiles = axes.flat[:5]
            look = _looks(data)
            for label, line in data.lines.items():
                line.response.draw(
                    response,
                    errors=label != JETS,
                    histtype="fill" if label == JETS else "step",
                    color="0.8" if label == JETS else look[label].colour,
                )
                for panel, axis in zip(list(PANELS)[1:], profiles, strict=True):
                    _draw_points(axis, line, panel, look[label], label)
            response.axvline(1, color="0.4", lw=0.8, ls=":")
            response.set(xlim=RESPONSE[[0, -1]], ylabel="density", xlabel=r"$p_T$ / true $p_T$")
            for axis, name in zip(profiles, list(PANELS.values())[1:], strict=True):
                axis.set(xscale="log", xlabel=r"true $p_T$ [GeV]", ylabel=name)
                _plain_ticks(axis, data)
            profiles[0].axhline(1, color="0.4", lw=0.8, ls=":")
            axes[1, 2].set_axis_off()
            axes[1, 2].legend(
                *profiles[0].get_legend_handles_labels(),
                loc="center",
                title="response: median ± half of the central 68 %",
            )
            write_notes(figure, data.title, data.notes)
        return figure

    def interactive(self, data: Lines) -> go.Figure:
        """The same."""
        figure = make_subplots(
            rows=2, cols=3, subplot_titles=list(PANELS.values()), horizontal_spacing=0.08
        )
        for label, look in _looks(data).items():
            line = data.lines[label]
            run = f"<br>run {line.key}" if line.key else ""
            shared: dict[str, Any] = {"name": _told(label, line), "legendgroup": label}
            figure.add_trace(
                line.response.trace(
                    line={"color": look.colour},
                    fill="tozeroy" if label == JETS else None,
                    customdata=[line.key] * len(RESPONSE) if line.key else None,
                    hovertemplate=(f"{label}<br>from %{{x}}: %{{y}} %{{text}}{run}<extra></extra>"),
                    showlegend=True,
                    **shared,
                ),
                row=1,
                col=1,
            )
            for place, panel in enumerate(list(PANELS)[1:], start=1):
                one, values, errors = line.points(panel)
                figure.add_scatter(
                    x=np.round(one.middle, 2).tolist(),
                    y=np.round(values, 5).tolist(),
                    error_y={"array": np.round(errors, 5).tolist(), "width": 0},
                    text=[f"{a:g} to {b:g} GeV" for a, b in zip(one.low, one.high, strict=True)],
                    mode="lines+markers",
                    line={"color": look.colour, "dash": look.plotly_line},
                    marker={"symbol": look.plotly_marker},
                    customdata=[line.key] * len(values) if line.key else None,
                    hovertemplate=f"{label}<br>%{{text}}: %{{y}}{run}<extra></extra>",
                    showlegend=False,
                    row=place // 3 + 1,
                    col=place % 3 + 1,
                    **shared,
                )
                figure.update_xaxes(
                    title="true pT [GeV]", type="log", row=place // 3 + 1, col=place % 3 + 1
                )
        figure.update_layout(page_layout(data.title, data.notes, height=620))
        return figure


def _draw_points(axis: Axes, line: Line, panel: str, look: Look, label: str) -> None:
    one, values, errors = line.points(panel)
    axis.errorbar(
        one.middle,
        values,
        xerr=np.abs(np.array([one.low, one.high]) - np.array(one.middle)),
        yerr=errors,
        color=look.colour,
        marker=look.marker,
        linestyle="none",
        elinewidth=1,
        capsize=0,
        label=_told(label, line),
    )


def _plain_ticks(axis: Axes, data: Lines) -> None:
    """A few round numbers of GeV instead of powers of ten."""
    one = data.lines[JETS].pt
    if not one.low:
        return
    ticks = [tick for tick in (10, 20, 30, 50, 100, 200, 500) if one.low[0] <= tick <= one.high[-1]]
    axis.set_xticks(ticks, list(map(str, ticks)))
    axis.set_xticks([], minor=True)


def _looks(data: Lines) -> dict[str, Look]:
    return {JETS: JET_LOOK, **looks([label for label in data.lines if label != JETS])}


def _told(label: str, line: Line) -> str:
    return f"{label}: {line.response.middle:.3f} ± {line.response.width:.3f}"


def _usable(run: FinishedRun) -> str | None:
    if last_task_with(run, MOMENTUM) is None or jet_field(run) is None:
        return f"{run.result['problem']} calibrates no jets"
    return with_outputs(run)


def _momenta(run: FinishedRun) -> tuple[FinishedRun, Momenta]:
    task, jet = str(last_task_with(run, MOMENTUM)), str(jet_field(run))
    momenta = momenta_of(read_outputs(run), task, jet)
    if not (momenta.true[..., 0] > LOWEST_PT).any():
        raise DataError(f"no true pT above {LOWEST_PT:g} GeV")
    return run, momenta


def _line(key: str | None, found: Residuals, edges: np.ndarray) -> Line:
    return Line(
        key=key,
        response=histogram(found.pt, np.ones_like(found.pt), RESPONSE),
        pt=profile(found.pt, found.true_pt, edges, relative=True),
        eta=profile(found.eta, found.true_pt, edges, relative=False),
        phi=profile(found.phi, found.true_pt, edges, relative=False),
    )
