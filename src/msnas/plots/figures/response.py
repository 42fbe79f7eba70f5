"""pT response and resolution."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from msnas.errors import DataError
from msnas.plots.axes import table_axis
from msnas.plots.choose import choose, read_best, told_runs, with_outputs
from msnas.plots.grammar import Axis, Chart, Layer, Look, Panel, Points, Rule, Steps
from msnas.plots.histogram import Histogram, histogram
from msnas.plots.look import looks
from msnas.results import outputs
from msnas.results.resolution import LOWEST_PT, Residuals, profile, pt_edges, residuals
from msnas.results.result import Result
from msnas.results.runs import Runs

MOST_METHODS = 5
BINS = 10
RESPONSE = np.linspace(0, 2.5, 51)
JETS = "jets"
JET_LOOK = Look(colour="#777777", marker="square")
GUIDE = Look(colour="#666666", dash="dot")
TICKS = (10, 20, 30, 50, 100, 200, 500)

PANELS = {
    "pt": "median response",
    "pt_width": "relative $p_T$ resolution",
    "eta_width": r"resolution of $\eta$",
    "phi_width": r"resolution of $\phi$ [rad]",
}
"""Panels against the true pT: name and label of the y axis."""


def chart(runs: Runs) -> Chart:
    """All jets of the test events before and after calibration.

    Response: pT / true pT. Resolution: half the width of the central 68.27 %, for pT divided by the
    median response, for eta and phi of the difference to the truth. Bins of equally many jets,
    drawn at their median; errors are statistical, by resampling jets; event weights play no part.
    Of each method the run that is best on validation data, at task weights nearest to equal ones.
    """
    chosen = choose(runs, usable, most=MOST_METHODS)
    found, notes = read_best(chosen, momenta)
    _, first = next(iter(found.values()))
    each = {JETS: residuals(first.jet, first)}
    each |= {label: residuals(one.output, one) for label, (_, one) in found.items()}
    keys = {JETS: "", **{label: run.key for label, (run, _) in found.items()}}
    edges = pt_edges(each[JETS].true_pt, bins=BINS)
    look = {JETS: JET_LOOK, **looks(list(found))}
    filled = {
        label: histogram(one.pt, np.ones_like(one.pt), RESPONSE) for label, one in each.items()
    }
    parts = [profiles(one, edges).assign(line=name, key=keys[name]) for name, one in each.items()]
    frame = pd.concat(parts)
    told = told_runs({label: run for label, (run, _) in found.items()})
    beyond = max(one.beyond for one in filled.values())
    return Chart(
        title=chosen.title,
        panels=[_response(filled, look, keys), *(_panel(name, frame, look) for name in PANELS)],
        columns=3,
        size=(3.9, 3.3),
        page_columns=2,
        notes=[
            "Legend: median ± half of the central 68 % of the response; n = 1 run each. Bars: bins "
            f"of the true pT, and errors by resampling jets. Runs: {told}. Beyond the axis of the "
            f"response: up to {100 * beyond:.1f} %.",
            *notes,
        ],
    )


def profiles(one: Residuals, edges: np.ndarray) -> pd.DataFrame:
    """A row for each panel and bin of the true pT [GeV]: x, left, right, y, low, high."""
    found = []
    for variable, values in (("pt", one.pt), ("eta", one.eta), ("phi", one.phi)):
        bins = profile(values, one.true_pt, edges, relative=variable == "pt")
        numbers = {variable: (bins.median, bins.median_error)}
        numbers[f"{variable}_width"] = bins.width, bins.width_error
        for name, (middle, error) in numbers.items():
            y, half = np.array(middle, dtype=float), np.array(error, dtype=float)
            x = {"x": bins.middle, "left": bins.low, "right": bins.high}
            found.append(pd.DataFrame({**x, "y": y, "low": y - half, "high": y + half, "of": name}))
    return pd.concat(found)


def _response(
    filled: Mapping[str, Histogram], look: Mapping[str, Look], keys: Mapping[str, str]
) -> Panel:
    layers: list[Layer] = [
        Steps(
            rows=one.rows.assign(key=keys[label]),
            look=look[label],
            label=label,
            words=f"{one.middle:.3f} ± {one.width:.3f}",
            filled=label == JETS,
        )
        for label, one in filled.items()
    ]
    layers.append(Rule(rows=pd.DataFrame({"x": [1.0]}), look=GUIDE, loose=True))
    x = Axis(label="$p_T$ / true $p_T$", limits=(RESPONSE[0], RESPONSE[-1]))
    return Panel(x=x, y=Axis(label="density", grow=True), layers=layers)


def _panel(name: str, frame: pd.DataFrame, look: Mapping[str, Look]) -> Panel:
    rows = frame[frame["of"] == name]
    low, high = rows["left"].min(), rows["right"].max()
    x = table_axis("true $p_T$ [GeV]", [tick for tick in TICKS if low <= tick <= high])
    guide = [Rule(rows=pd.DataFrame({"y": [1.0]}), look=GUIDE, loose=True)] * (name == "pt")
    points = [Points(rows=rows[rows["line"] == line], look=one) for line, one in look.items()]
    return Panel(x=x, y=Axis(label=PANELS[name]), layers=[*guide, *points])


def usable(run: Result) -> str | None:
    """Why a run calibrates no jets, or None."""
    if outputs.last_task_with(run, outputs.MOMENTUM) is None or outputs.jet_field(run) is None:
        return f"{run.problem} calibrates no jets"
    return with_outputs(run)


def momenta(run: Result) -> tuple[Result, outputs.Momenta]:
    """A run and its momenta; raises DataError if no true pT is high enough."""
    task, jet = outputs.last_task_with(run, outputs.MOMENTUM), outputs.jet_field(run)
    read = outputs.read_outputs(run)
    found = outputs.momenta_of(read, str(task), str(jet)).only(read.counts.get(str(task)))
    if not (found.true[..., 0] > LOWEST_PT).any():
        raise DataError(f"no true pT above {LOWEST_PT:g} GeV")
    return run, found
