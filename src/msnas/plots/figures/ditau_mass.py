"""Di-tau mass before and after calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from msnas.data.checks import finite
from msnas.errors import DataError
from msnas.plots.choose import choose, read_best, told_runs, with_outputs
from msnas.plots.grammar import Axis, Chart, Look, Panel, Steps
from msnas.plots.histogram import Histogram, histogram
from msnas.plots.look import looks
from msnas.results import outputs
from msnas.results.result import Result
from msnas.results.runs import Runs
from msnas.run_directory import OUTPUTS

TAU_MASS = 1.777
"""Mass of the tau [GeV], as in the candidate `mass`."""

BINS = 40
INSIDE = 0.995
"""The axis reaches from the quantile 1 - `INSIDE` to the quantile `INSIDE` of all masses."""

MOST_METHODS = 5
GIVEN = {"jets": Look(colour="#999999"), "truth": Look()}


@dataclass(frozen=True, kw_only=True)
class Masses:
    """Masses [GeV] of a run's test events, each [event]; by class, which events belong to it."""

    run: Result
    jets: Float[np.ndarray, " event"]
    calibrated: Float[np.ndarray, " event"]
    true: Float[np.ndarray, " event"]
    weight: Float[np.ndarray, " event"]
    classes: Mapping[str, Bool[np.ndarray, " event"]]


def chart(runs: Runs) -> Chart:
    """Invariant mass of the pair in test events of each class.

    From the jets with their own masses, from the calibrated momenta with the tau's mass, and from
    the true taus (the peak is cut off). In the legend mean ± half the width of the central 68.27 %,
    of all events of the class. Of each method the run that is best on validation data, at task
    weights nearest to equal ones.
    """
    chosen = choose(runs, usable, most=MOST_METHODS)
    found, notes = read_best(chosen, masses)
    first = next(iter(found.values()))
    everything = np.concatenate([first.jets, *(one.calibrated for one in found.values())])
    low, high = np.quantile(everything, [1 - INSIDE, INSIDE])
    edges = np.linspace(10 * np.floor(low / 10), 10 * np.floor(high / 10) + 10, BINS + 1)
    lines = {"jets": (first, first.jets), "truth": (first, first.true)}
    lines |= {label: (one, one.calibrated) for label, one in found.items()}
    keys = {label: one.run.key for label, one in found.items()}
    by_class = {
        name: {
            label: histogram(mass[events], one.weight[events], edges)
            for label, (one, mass) in lines.items()
        }
        for name, events in first.classes.items()
    }
    beyond = max(one.beyond for filled in by_class.values() for one in filled.values())
    told = told_runs({label: one.run for label, one in found.items()})
    return Chart(
        title=chosen.title,
        panels=[_panel(name, filled, keys) for name, filled in by_class.items()],
        columns=len(by_class),
        size=(4.6, 4.2),
        notes=[
            "Told: mean ± half of the central 68 % [GeV]; n = 1 run each; bars: statistical errors "
            f"of its test events. Runs: {told}. Beyond the axis: up to "
            f"{100 * beyond:.1f} % of the events.",
            *notes,
        ],
    )


def _panel(name: str, filled: Mapping[str, Histogram], keys: Mapping[str, str]) -> Panel:
    # the true peak is cut off: it would flatten the other histograms
    top = 1.25 * max(one.rows["y"].max() for label, one in filled.items() if label != "truth")
    layers = [
        Steps(
            rows=filled[label].rows.assign(key=keys.get(label, "")),
            look=look,
            label=label,
            words=f"{filled[label].mean:.1f} ± {filled[label].width:.1f}",
            filled=label == "jets",
            bars=label in keys,
        )
        for label, look in {**GIVEN, **looks(list(keys))}.items()
    ]
    rows = filled["jets"].rows
    ends = float(rows["left"].min()), float(rows["right"].max())
    x = Axis(label="invariant mass of the pair [GeV]", limits=ends)
    y = Axis(label="share of events per GeV", limits=(0, top))
    return Panel(x=x, y=y, layers=layers, title=name, own_legend=True)


def pair_mass(
    momenta: Float[np.ndarray, "event particle 3"],
    mass: Float[np.ndarray, "event particle"] | float,
) -> Float[np.ndarray, " event"]:
    """Invariant mass [GeV] of all particles of an event, from (pT [GeV], eta, phi) and masses.

    A negative mass [GeV] stands for a negative squared mass, as Delphes writes it.
    """
    import vector  # a second to import: only where it is needed

    pt, eta, phi = np.moveaxis(momenta, -1, 0)
    particles: Any = vector.array(
        {"pt": pt, "eta": eta, "phi": phi, "mass": np.broadcast_to(mass, pt.shape)}
    )
    return np.asarray(particles.sum(axis=1).mass)


def usable(run: Result) -> str | None:
    """Why a run has no mass of a calibrated pair, or None."""
    task = outputs.last_task_with(run, outputs.MOMENTUM)
    if task is None or outputs.jet_field(run) is None:
        return f"{run.problem} calibrates no jets"
    shape = run.config["tasks"][task]["output"].get("shape", [])
    if len(shape) != 2 or shape[0] < 2:
        return f"{run.problem} has one jet an event, so no pair"
    return with_outputs(run)


def masses(run: Result) -> Masses:
    """The masses of a run; raises DataError for momenta too large for a finite mass."""
    read = outputs.read_outputs(run)
    calibration = str(outputs.last_task_with(run, outputs.MOMENTUM))
    momenta = outputs.momenta_of(read, calibration, str(outputs.jet_field(run)))
    task = outputs.last_task_with(run, outputs.BINARY)
    classes = {"all events": np.ones(len(momenta.jet), dtype=bool)}
    if task is not None:
        _, label = outputs.binary_of(read, task)
        field = run.config["tasks"][task]["target"]
        classes = {f"{field} = {one}": label == one for one in (1, 0)}
    found = {
        "jets": pair_mass(momenta.jet[..., :3], momenta.jet[..., 3]),
        "calibrated": pair_mass(momenta.output, TAU_MASS),
        "true": pair_mass(momenta.true, TAU_MASS),
    }
    if wrong := [name for name, mass in found.items() if not finite(mass).all()]:
        raise DataError(f"{OUTPUTS}: momenta too large for a mass ({', '.join(wrong)})")
    return Masses(run=run, **found, weight=read.weight, classes=classes)
