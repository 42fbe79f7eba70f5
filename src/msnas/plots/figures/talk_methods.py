"""Methods with and without pre-training."""

from __future__ import annotations

import pandas as pd

from msnas.plots.axes import metric_axis
from msnas.plots.chains import FIXED, NO_METRIC
from msnas.plots.grammar import Chart, NothingToDraw
from msnas.plots.look import WITH, WITHOUT, in_order
from msnas.plots.violins import violins
from msnas.results.alike import labels
from msnas.results.runs import Runs

KINDS = {True: "with pre-training", False: "without"}

FEW = 2
"""If there are more settings of `fixed_chain`, they are left to the figure of all chains."""


def chart(runs: Runs) -> Chart:
    """The last task's test metric of the chain each method ended with, all at one v1.

    Of those with at least half as many runs as the most frequent one, the one nearest to 0.5;
    methods without runs there are shown at their own v1, which is then told. After the comparison
    of algorithms in the talk.
    """
    quantity = runs.quantities.last
    if quantity is None:
        raise NothingToDraw(NO_METRIC)
    told = labels(runs.finished, without=["pretrain.enabled"])
    table = runs.wide.assign(column=told).dropna(subset=quantity.test)
    notes = []
    is_fixed = table["method"] == FIXED
    if table.loc[is_fixed, "column"].nunique() > FEW and not is_fixed.all():
        notes.append(f"Not shown: {int(is_fixed.sum())} runs of {FIXED}.")
        table = table[~is_fixed]
    several = len(runs.finished[0].tasks) > 1
    common = frequent_v1(table["v1"])
    parts = []
    for label in in_order(list(table["column"])):
        part = table[table["column"] == label]
        own = common if common is None or (part["v1"] == common).any() else frequent_v1(part["v1"])
        elsewhere = f" (v1 = {own:g})" if own is not None and own != common and several else ""
        here = part if own is None else part[part["v1"] == own]
        parts.append(here.assign(column=label + elsewhere))
    shown = pd.concat(parts)
    if left := len(table) - len(shown):
        notes.append(f"Not shown: {left} runs at other v1.")
    frame = shown[["column", "key"]].assign(
        kind=shown["pretrained"].map(KINDS),
        y=shown[quantity.test],
        told=shown["chain"] + ", seed " + shown["seed"].astype(str),
    )
    weight = f", $v_1$ = {common:g}" if several and common is not None else ""
    return violins(
        frame,
        list(dict.fromkeys(frame["column"])),
        {KINDS[True]: WITH, KINDS[False]: WITHOUT},
        title=runs.finished[0].problem + weight,
        y=metric_axis(quantity),
        notes=notes,
    )


def frequent_v1(values: pd.Series) -> float | None:
    """The v1 nearest to 0.5 among those with at least half as many runs as the most frequent v1."""
    counts = values.dropna().value_counts()
    often = [float(value) for value in counts[2 * counts >= counts.max()].index]
    return min(often, key=lambda value: (abs(value - 0.5), value), default=None)
