"""Every chain with and without training it end to end (paper, Fig. 2)."""

from __future__ import annotations

from typing import ClassVar, final

import plotly.graph_objects as go
from matplotlib.figure import Figure as Drawing

from msnas.report.chains import chains_of
from msnas.report.figure import Figure
from msnas.report.scan import Scan
from msnas.report.style import COLOURS
from msnas.report.violins import Point, Violins, draw_violins, interactive_violins

KINDS = {
    True: ("with re-optimisation", COLOURS["blue"]),
    False: ("without", COLOURS["orange"]),
}
"""Names, and the colours of the paper."""


@final
class Reoptimisation(Figure[Violins]):
    """The last task's metric of each chain."""

    name: ClassVar[str] = "fig2_reoptimisation"
    title: ClassVar[str] = "Every chain with and without re-optimisation"
    caption: ClassVar[str] = (
        "The last task's metric of each chain, trained end to end after pre-training (v1 = 0 or "
        "the lowest v1 there is) and connected without that. Violins, from five seeds on, have "
        "lines at the quantiles 0, 0.25, 0.5, 0.75 and 1; below that the line is the median. "
        "Chains are ordered by the median of those trained end to end, best first. On test events "
        "if the chains were trained by fixed_chain; the chains of grid search are known on "
        "validation events only. After Fig. 2 of the paper."
    )

    def data(self, scan: Scan) -> Violins:
        """Runs of fixed_chain, or the chains of grid search."""
        chains = chains_of(scan)
        points: dict[tuple[str, str], list[Point]] = {}
        for row in chains.table.to_dict("records"):
            kind, _ = KINDS[bool(row["reoptimised"])]
            told = f"seed {row['seed']}"
            points.setdefault((str(row["chain"]), kind), []).append(
                Point(key=str(row["key"]), value=float(row["value"]), told=told)
            )
        weight = "" if chains.v1 is None else f", $v_1$ = {chains.v1:g}"
        return Violins(
            title=f"{scan.runs[0].result['problem']}{weight}",
            label=f"{chains.part} {chains.quantity.label}",
            columns=chains.order,
            colours=dict(KINDS.values()),
            points=points,
            notes=chains.notes,
        )

    def draw(self, data: Violins) -> Drawing:
        """Violins side by side."""
        return draw_violins(data)

    def interactive(self, data: Violins) -> go.Figure:
        """The same."""
        return interactive_violins(data)
