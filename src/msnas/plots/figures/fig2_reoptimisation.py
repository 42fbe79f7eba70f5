"""Every chain with and without re-optimisation."""

from __future__ import annotations

from msnas.plots.axes import metric_axis
from msnas.plots.chains import chains_of
from msnas.plots.grammar import Chart
from msnas.plots.look import WITH, WITHOUT
from msnas.plots.violins import violins
from msnas.results.runs import Runs

KINDS = {True: "with re-optimisation", False: "without"}


def chart(runs: Runs) -> Chart:
    """The last task's metric of each chain.

    Trained end to end after pre-training (v1 = 0 or the lowest v1 there is) and connected without
    that. Chains are ordered by the median of those trained end to end, best first. On test events
    if the chains were trained by fixed_chain; the chains of grid search are known on validation
    events only. After Fig. 2 of the paper.
    """
    chains = chains_of(runs)
    table = chains.table
    frame = table[["key"]].assign(
        column=table["chain"],
        kind=table["reoptimised"].map(KINDS),
        y=table["value"],
        told="seed " + table["seed"].astype(str),
    )
    weight = "" if chains.v1 is None else f", $v_1$ = {chains.v1:g}"
    return violins(
        frame,
        chains.order,
        {KINDS[True]: WITH, KINDS[False]: WITHOUT},
        title=f"{runs.finished[0].problem}{weight}",
        y=metric_axis(chains.quantity, chains.part),
        notes=chains.notes,
    )
