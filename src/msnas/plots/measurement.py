"""The figure of a measurement: templates, impacts, likelihood scan, reliability of the score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from msnas.plots.axes import log_axis, names_axis
from msnas.plots.grammar import Axis, Band, Bars, Chart, Layer, Look, Panel, Points, Rule
from msnas.plots.look import COLOURS, PLAIN, WITH, WITHOUT

MOST_IMPACTS = 12

GUIDE = Look(dash="dot")


def chart(found: Mapping[str, Any]) -> Chart:
    """The results of `msnas.measure` in four panels."""
    told = found["sigma"]
    return Chart(
        title=f"{found['run']}: uncertainty of the signal strength {told['all']:.3f}, statistical "
        f"alone {told['statistical']:.3f}",
        panels=[
            _templates(found),
            _impacts(found["impacts"]),
            _scan(found["scan"]),
            _reliability(found["calibration"]),
        ],
        columns=2,
        size=(4.6, 3.6),
    )


def _templates(found: Mapping[str, Any]) -> Panel:
    """Yields of each process in the bins, and their sum with the band of its uncertainties."""
    yields = {name: np.array(row) for name, row in found["nominal"].items()}
    total = np.sum(list(yields.values()), 0)
    square = np.sum([np.square(row) for row in found["errors"].values()], 0)
    for shape in found["shapes"].values():
        square = square + np.max([np.square(np.array(one) - total) for one in shape], 0)
    layers: list[Layer] = [
        Band(
            rows=_stepped({"low": total - np.sqrt(square), "high": total + np.sqrt(square)}),
            look=Look(colour=COLOURS["grey"]),
            label="simulation and shapes",
        ),
        Points(rows=_stepped({"y": total}), width=1.5, size=0.0, label="all"),
    ]
    for (name, row), colour in zip(yields.items(), PLAIN, strict=False):
        rows = _stepped({"y": row})
        layers.append(Points(rows=rows, look=Look(colour=colour), width=1.5, size=0.0, label=name))
    variable = found["settings"]["variable"]
    return Panel(x=Axis(label=f"bin of the {variable}"), y=log_axis("events"), layers=layers)


def _stepped(columns: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Values of bins repeated at both bin edges, so that a line through them has steps."""
    count = len(next(iter(columns.values())))
    x = np.repeat(np.arange(count + 1), 2)[1:-1]
    return pd.DataFrame({"x": x, **{name: np.repeat(one, 2) for name, one in columns.items()}})


def _impacts(impacts: Sequence[Mapping[str, Any]]) -> Panel:
    shown = impacts[:MOST_IMPACTS]
    layers: list[Layer] = []
    for way, look in (("up", WITH), ("down", WITHOUT)):
        rows = pd.DataFrame({"x": range(len(shown)), "base": 0.0, "y": [one[way] for one in shown]})
        layers.append(Bars(rows=rows, look=look, label=f"nuisance {way}"))
    layers.append(Rule(rows=pd.DataFrame({"y": [0.0]})))
    names = [str(one["name"]).replace("simulation, ", "simulation,\n") for one in shown]
    return Panel(x=names_axis(names), y=Axis(label="impact on the signal strength"), layers=layers)


def _scan(scan: Sequence[Mapping[str, float]]) -> Panel:
    rows = pd.DataFrame(scan)
    layers: list[Layer] = [Rule(rows=pd.DataFrame({"y": [1.0, 4.0]}), look=GUIDE)]
    for name, look in (("statistical", WITHOUT), ("all", WITH)):
        curve = rows[["mu", name]].set_axis(["x", "y"], axis=1)
        layers.append(Points(rows=curve, look=look, width=1.5, size=0.0, label=f"{name}, scan"))
    y = Axis(label=r"$-2\,\Delta\log L$", limits=(0.0, 6.0))
    return Panel(x=Axis(label=r"signal strength $\mu$"), y=y, layers=layers)


def _reliability(told: Mapping[str, Any]) -> Panel:
    layers: list[Layer] = [
        Points(rows=pd.DataFrame({"x": [0.0, 1.0], "y": [0.0, 1.0]}), look=GUIDE, width=1, size=0)
    ]
    for words, look in (("as it is", WITH), ("at the temperature", WITHOUT)):
        rows = pd.DataFrame(told[words]["reliability"])
        error = np.sqrt(rows["right"] * (1 - rows["right"]) / rows["events"])
        points = pd.DataFrame(
            {
                "x": rows["probability"],
                "y": rows["right"],
                "low": rows["right"] - error,
                "high": rows["right"] + error,
            }
        )
        layers.append(Points(rows=points, look=look, width=1, label=f"probability {words}"))
    return Panel(
        x=Axis(label="probability of the likeliest class", limits=(0.0, 1.0), margin=0.02),
        y=Axis(label="share that is right", limits=(0.0, 1.0), margin=0.02),
        layers=layers,
    )
