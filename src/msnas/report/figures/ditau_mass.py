"""The mass of the pair: what calibration does to the quantity a physicist looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import plotly.graph_objects as go
import vector
from jaxtyping import Bool, Float
from matplotlib.figure import Figure as Drawing
from plotly.subplots import make_subplots

from msnas.data.checks import finite
from msnas.errors import DataError
from msnas.report.chosen import choose, page_layout, read_best, told_runs, with_outputs, write_notes
from msnas.report.collect import FinishedRun
from msnas.report.figure import Figure
from msnas.report.histogram import Histogram, histogram
from msnas.report.outputs import (
    BINARY,
    MOMENTUM,
    NAME,
    binary_of,
    jet_field,
    key_of,
    last_task_with,
    momenta_of,
    read_outputs,
)
from msnas.report.scan import Scan
from msnas.report.style import looks, new_figure, style

TAU_MASS = 1.777
"""[GeV], as in the candidate `mass`."""

BINS = 40
INSIDE = 0.995
"""Share of the masses that the axis must hold."""

MOST_METHODS = 5


@dataclass(frozen=True, kw_only=True)
class Masses:
    """Masses [GeV] of one run's test events, each [event]; by class, which events are of it."""

    run: FinishedRun
    jets: Float[np.ndarray, " event"]
    calibrated: Float[np.ndarray, " event"]
    true: Float[np.ndarray, " event"]
    weight: Float[np.ndarray, " event"]
    classes: Mapping[str, Bool[np.ndarray, " event"]]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One class: the masses of jets, of true taus, and as each label's run calibrates them."""

    jets: Histogram
    true: Histogram
    calibrated: Mapping[str, Histogram]


@dataclass(frozen=True, kw_only=True)
class Panels:
    """By class; and the key of each label's run."""

    title: str
    panels: Mapping[str, Panel]
    keys: Mapping[str, str]
    notes: Sequence[str]


@final
class DiTauMass(Figure[Panels]):
    """A panel per class; jets, calibrated taus and true taus."""

    name: ClassVar[str] = "ditau_mass"
    title: ClassVar[str] = "Di-tau mass before and after calibration"
    caption: ClassVar[str] = (
        "Invariant mass of the pair in test events of each class: from the jets with their own "
        "masses, from the calibrated momenta with the tau's mass, and from the true taus (the peak "
        "is cut off). In the legend mean ± half the width of the central 68.27 %, of all events of "
        "the class. Of each method the run that is best on validation data, at task weights "
        "nearest to equal ones."
    )

    def data(self, scan: Scan) -> Panels:
        """The masses of each method's best run on validation data."""
        chosen = choose(scan, _usable, most=MOST_METHODS)
        found, notes = read_best(chosen, _masses)
        first = next(iter(found.values()))
        everything = np.concatenate([first.jets, *(one.calibrated for one in found.values())])
        low, high = np.quantile(everything, [1 - INSIDE, INSIDE])
        edges = np.linspace(10 * np.floor(low / 10), 10 * np.floor(high / 10) + 10, BINS + 1)
        panels = {
            name: Panel(
                jets=histogram(first.jets[events], first.weight[events], edges),
                true=histogram(first.true[events], first.weight[events], edges),
                calibrated={
                    label: histogram(one.calibrated[events], one.weight[events], edges)
                    for label, one in found.items()
                },
            )
            for name, events in first.classes.items()
        }
        beyond = max(
            one.beyond
            for panel in panels.values()
            for one in (panel.jets, panel.true, *panel.calibrated.values())
        )
        runs = told_runs({label: one.run for label, one in found.items()})
        return Panels(
            title=chosen.title,
            panels=panels,
            keys={label: key_of(one.run) for label, one in found.items()},
            notes=[f"Runs: {runs}. Beyond the axis: up to {beyond:.1%} of the events.", *notes],
        )

    def draw(self, data: Panels) -> Drawing:
        """The histograms."""
        with style():
            figure, axes = new_figure(1, len(data.panels), panel=(4.6, 4.2), sharey=True)
            for axis, (name, panel) in zip(axes[0], data.panels.items(), strict=True):
                panel.jets.draw(
                    axis,
                    errors=False,
                    histtype="fill",
                    color="0.8",
                    label=f"jets: {_told(panel.jets)}",
                )
                panel.true.draw(
                    axis, errors=False, color="black", lw=1, label=f"truth: {_told(panel.true)}"
                )
                for label, look in looks(list(panel.calibrated)).items():
                    one = panel.calibrated[label]
                    one.draw(axis, color=look.colour, ls=look.line, label=f"{label}: {_told(one)}")
                axis.set(xlim=panel.jets.edges[[0, -1]], ylim=(0, _top(panel)), title=name)
                axis.set_xlabel("invariant mass of the pair [GeV]")
                axis.legend(
                    loc="upper center",
                    bbox_to_anchor=(0.5, -0.16),
                    ncols=2,
                    title="mean ± half of the central 68 % [GeV]",
                )
            axes[0, 0].set_ylabel("share of events per GeV")
            write_notes(figure, data.title, data.notes)
        return figure

    def interactive(self, data: Panels) -> go.Figure:
        """The same."""
        figure = make_subplots(cols=len(data.panels), subplot_titles=list(data.panels))
        for column, panel in enumerate(data.panels.values(), start=1):
            colours = {label: look.colour for label, look in looks(list(panel.calibrated)).items()}
            lines = [
                ("jets", panel.jets, "#999999"),
                ("truth", panel.true, "#000000"),
                *((label, one, colours[label]) for label, one in panel.calibrated.items()),
            ]
            for name, one, colour in lines:
                key = data.keys.get(name)
                run = f"<br>run {key}" if key else ""
                figure.add_trace(
                    one.trace(
                        line={"color": colour},
                        fill="tozeroy" if name == "jets" else None,
                        name=name,
                        legendgroup=name,
                        showlegend=column == 1,
                        customdata=[key] * len(one.edges) if key else None,
                        hovertemplate=(
                            f"{name} ({_told(one)} GeV)<br>from %{{x}} GeV: %{{y}} %{{text}}"
                            f"{run}<extra></extra>"
                        ),
                    ),
                    row=1,
                    col=column,
                )
            figure.update_yaxes(range=[0, _top(panel)], col=column)
        figure.update_xaxes(title="invariant mass of the pair [GeV]")
        figure.update_yaxes(title="share of events per GeV", col=1)
        figure.update_layout(page_layout(data.title, data.notes, height=360))
        return figure


def pair_mass(
    momenta: Float[np.ndarray, "event particle 3"],
    mass: Float[np.ndarray, "event particle"] | float,
) -> Float[np.ndarray, " event"]:
    """Invariant mass [GeV] of all particles of an event, from (pT [GeV], eta, phi) and masses.

    A negative mass [GeV] stands for a negative square, as Delphes writes it.
    """
    pt, eta, phi = np.moveaxis(momenta, -1, 0)
    particles: Any = vector.array(
        {"pt": pt, "eta": eta, "phi": phi, "mass": np.broadcast_to(mass, pt.shape)}
    )
    return np.asarray(particles.sum(axis=1).mass)


def _usable(run: FinishedRun) -> str | None:
    problem = run.result["problem"]
    if last_task_with(run, MOMENTUM) is None or jet_field(run) is None:
        return f"{problem} calibrates no jets"
    shape = run.config["tasks"][last_task_with(run, MOMENTUM)]["output"].get("shape", [])
    if len(shape) != 2 or shape[0] < 2:
        return f"{problem} has one jet an event, so no pair"
    return with_outputs(run)


def _masses(run: FinishedRun) -> Masses:
    outputs = read_outputs(run)
    momenta = momenta_of(outputs, str(last_task_with(run, MOMENTUM)), str(jet_field(run)))
    task = last_task_with(run, BINARY)
    classes = {"all events": np.ones(len(momenta.jet), dtype=bool)}
    if task is not None:
        _, label = binary_of(outputs, task)
        field = run.config["tasks"][task]["target"]
        classes = {f"{field} = {one}": label == one for one in (1, 0)}
    masses = {
        "jets": pair_mass(momenta.jet[..., :3], momenta.jet[..., 3]),
        "calibrated": pair_mass(momenta.output, TAU_MASS),
        "true": pair_mass(momenta.true, TAU_MASS),
    }
    if beyond := [name for name, mass in masses.items() if not finite(mass).all()]:
        raise DataError(f"{NAME}: momenta too large for a mass ({', '.join(beyond)})")
    return Masses(run=run, **masses, weight=outputs.weight, classes=classes)


def _top(panel: Panel) -> float:
    """Where the axis ends: the true peak goes on, it would flatten the rest."""
    return 1.25 * max(float(one.density.max()) for one in (panel.jets, *panel.calibrated.values()))


def _told(one: Histogram) -> str:
    return f"{one.mean:.1f} ± {one.width:.1f}"
