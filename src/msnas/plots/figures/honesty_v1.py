"""Honest intermediate outputs against v1, and the v1 to recommend."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from msnas.plots.against import number_of_runs
from msnas.plots.axes import v1_axis
from msnas.plots.grammar import Axis, Chart, Layer, Look, NothingToDraw, Panel, Points, Rule
from msnas.plots.look import COLOURS, chain_looks
from msnas.results.alike import labels
from msnas.results.constrained import Bounds, Recommended, recommendations
from msnas.results.runs import Runs

STAR = Look(colour=COLOURS["yellow"], marker="star")


def chart(runs: Runs) -> Chart:
    """The last task, joint validity and leakage on validation events, means over seeds.

    Bars of the leakage are 95 % intervals from resampling events and seeds. Lines are the bounds
    within which a v1 is allowed; the star is the best allowed one. Last, the share of resamplings
    that choose a v1; what is missing to 1 allowed none.
    """
    bounds = Bounds()
    found = recommendations(runs.finished, bounds)
    if not found:
        raise NothingToDraw("no runs at several v1 with honesty.h5")
    told = labels([one.runs[0] for one in found])
    named = {
        label + (", one training (YOTO)" if one.runs[0].conditioned else ""): one
        for label, one in zip(told, found, strict=True)
    }
    looks = chain_looks(list(named))
    first = found[0]
    panels = [
        _panel(named, looks, f"validation {first.quantity}", "value", stars=True),
        _panel(named, looks, "joint validity", "validity", bound=bounds.validity),
        _panel(named, looks, "leakage", "leakage", bound=bounds.leakage),
        _panel(named, looks, "share of resamplings", "share"),
    ]
    return Chart(
        title="; ".join(f"{name}: {told_v1(one)}" for name, one in named.items()),
        panels=[panel for panel in panels if panel is not None],
        columns=2,
        size=(4.4, 3.4),
        notes=[f"{name}: {number_of_runs(len(one.runs))}." for name, one in named.items()],
    )


def told_v1(one: Recommended) -> str:
    """The recommended v1 with the share of resamplings that choose it, in words."""
    if one.v1 is None:
        return "no $v_1$ has honest outputs"
    share = next(row.share for row in one.candidates if row.v1 == one.v1)
    return f"recommended $v_1$ = {one.v1:g} ({100 * share:.0f} % of resamplings)"


def _panel(
    named: Mapping[str, Recommended],
    looks: Mapping[str, Look],
    label: str,
    number: str,
    *,
    bound: float | None = None,
    stars: bool = False,
) -> Panel | None:
    """A panel of a `number` against v1, the leakage with its interval; None without values."""
    layers: list[Layer] = []
    for name, one in named.items():
        rows = pd.DataFrame(map(vars, one.candidates)).dropna(subset=number)
        if rows.empty:
            continue
        misses = rows["refused"].map(lambda refused: "".join(f"<br>misses {it}" for it in refused))
        rows = rows.assign(x=rows["v1"], y=rows[number])
        rows["told"] = "v1 = " + rows["v1"].map("{:g}".format) + misses
        rows["keys"] = [[run.key for run in one.runs]] * len(rows)
        shown = rows[["x", "y", "told", "keys", *(["low", "high"] if number == "leakage" else [])]]
        layers.append(Points(rows=shown, look=looks[name], label=name, width=1.2))
        best = shown[shown["x"] == one.v1]
        if stars and len(best):
            layers.append(Points(rows=best, look=STAR, size=8, edge="#000000"))
    if not layers:
        return None
    if bound is not None:
        layers.insert(0, Rule(rows=pd.DataFrame({"y": [bound]}), look=Look(dash="dot")))
    return Panel(x=v1_axis(), y=Axis(label=label), layers=layers)
