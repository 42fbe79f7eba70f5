"""Methods against the weight of task 1."""

from __future__ import annotations

from msnas.plots.chains import FIXED
from msnas.plots.grammar import Chart
from msnas.plots.look import in_order, looks
from msnas.plots.v1 import against_v1, conditions_by_label
from msnas.results.runs import Runs

MOST = 8
"""Most labels that one figure can tell apart."""


def chart(runs: Runs) -> Chart:
    """The first and the last task's metric, and validity, of the chain each method ended with.

    On test events; validity is the share of events within two sigma of the Gaussian process. After
    Fig. 6 of the paper.
    """
    once = conditions_by_label(runs)
    repeated = {key for table in once.values() for key in table["key"]}
    table = runs.wide[~runs.wide["key"].isin(repeated)]
    fixed = table["method"] == FIXED
    table = table if fixed.all() else table[~fixed]
    tables = {str(label): part for label, part in table.groupby("label")} | once
    labels = in_order(list(tables))
    shown = {label: tables[label] for label in labels[:MOST]}
    notes = [f"Not shown: {', '.join(labels[MOST:])}."] if labels[MOST:] else []
    return against_v1(runs, shown, looks(labels), notes)
