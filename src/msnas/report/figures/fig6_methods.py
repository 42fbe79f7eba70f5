"""The search methods against v1 (paper, Fig. 6)."""

from __future__ import annotations

from typing import ClassVar, final

import plotly.graph_objects as go
from matplotlib.figure import Figure as Drawing

from msnas.report.against_v1 import (
    HOW,
    AgainstV1,
    against_v1,
    conditions_by_label,
    draw_against_v1,
    interactive_against_v1,
)
from msnas.report.chains import FIXED
from msnas.report.figure import Figure
from msnas.report.scan import Scan

MOST = 8
"""Labels that one figure can tell apart."""


@final
class MethodsAgainstV1(Figure[AgainstV1]):
    """Both tasks' metrics and validity of each method."""

    name: ClassVar[str] = "fig6_methods"
    title: ClassVar[str] = "Methods against the weight of task 1"
    caption: ClassVar[str] = (
        "The first and the last task's metric, and the share of events within two sigma of the "
        f"Gaussian process, on test events, of the chain each method ended with. {HOW} After "
        "Fig. 6 of the paper."
    )

    def data(self, scan: Scan) -> AgainstV1:
        """All runs by label, but fixed chains beside searches; and runs trained for all v1."""
        once = conditions_by_label(scan)
        repeated = {key for table in once.values() for key in table["key"]}
        table = scan.table[~scan.table["key"].isin(repeated)]
        fixed = table["method"] == FIXED
        if len(table) and not fixed.all():
            table = table[~fixed]
        tables = {str(label): part for label, part in table.groupby("label", sort=True)} | once
        left = list(tables)[MOST:]
        notes = [f"Not shown: {', '.join(left)}."] if left else []
        return against_v1(scan, dict(list(tables.items())[:MOST]), notes)

    def draw(self, data: AgainstV1) -> Drawing:
        """Panels side by side."""
        return draw_against_v1(data)

    def interactive(self, data: AgainstV1) -> go.Figure:
        """The same."""
        return interactive_against_v1(data)
