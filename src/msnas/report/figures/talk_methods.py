"""The methods side by side, with and without pre-training (the talk's comparison)."""

from __future__ import annotations

from typing import ClassVar, final

import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure as Drawing

from msnas.report.chains import FIXED
from msnas.report.figure import Figure, NothingToDraw
from msnas.report.frame import relabelled
from msnas.report.scan import Scan
from msnas.report.style import COLOURS
from msnas.report.violins import Point, Violins, draw_violins, interactive_violins

KINDS = {True: ("with pre-training", COLOURS["blue"]), False: ("without", COLOURS["orange"])}

FEW = 2
"""More settings of `fixed_chain` than this are left to the figure of all chains."""


@final
class Methods(Figure[Violins]):
    """The last task's test metric of each method."""

    name: ClassVar[str] = "talk_methods"
    title: ClassVar[str] = "Methods with and without pre-training"
    caption: ClassVar[str] = (
        "The last task's test metric of the chain each method ended with, all at one v1: of those "
        "with at least half as many runs as the most frequent one, the one nearest to 0.5; methods "
        "without runs there are shown at their own v1, which is then told. Violins, from five runs "
        "on, have lines at the quantiles 0, 0.25, 0.5, 0.75 and 1; below that the line is the "
        "median. After the comparison of algorithms in the talk."
    )

    def data(self, scan: Scan) -> Violins:
        """Runs by method and pre-training."""
        quantity = scan.quantities.last
        if quantity is None:
            raise NothingToDraw("the last task has no metric of one number with a direction")
        table = scan.table.assign(
            column=relabelled(scan.table, scan.runs, without=["pretrain.enabled"])
        )
        table = table.dropna(subset=quantity.test)
        notes = []
        is_fixed = table["method"] == FIXED
        if table.loc[is_fixed, "column"].nunique() > FEW and not is_fixed.all():
            notes.append(f"Not shown: {int(is_fixed.sum())} runs of {FIXED}.")
            table = table[~is_fixed]
        common = frequent_v1(table["v1"])
        points: dict[tuple[str, str], list[Point]] = {}
        elsewhere = 0
        for label, part in table.groupby("column", sort=True):
            v1 = common if common is None or (part["v1"] == common).any() else None
            own = frequent_v1(part["v1"]) if v1 is None else v1
            here = part if own is None else part[part["v1"] == own]
            elsewhere += len(part) - len(here)
            several = len(scan.runs[0].tasks) > 1
            told = f" (v1 = {own:g})" if own is not None and own != common and several else ""
            for row in here.to_dict("records"):
                kind, _ = KINDS[bool(row["pretrained"])]
                points.setdefault((f"{label}{told}", kind), []).append(
                    Point(
                        key=str(row["key"]),
                        value=float(row[quantity.test]),
                        told=f"{row['chain']}, seed {row['seed']}",
                    )
                )
        if elsewhere:
            notes.append(f"Not shown: {elsewhere} runs at other v1.")
        weight = "" if common is None or len(scan.runs[0].tasks) < 2 else f", $v_1$ = {common:g}"
        return Violins(
            title=f"{scan.runs[0].result['problem']}{weight}",
            label=f"test {quantity.label}",
            columns=list(dict.fromkeys(column for column, _ in points)),
            colours=dict(KINDS.values()),
            points=points,
            notes=notes,
        )

    def draw(self, data: Violins) -> Drawing:
        """Violins side by side."""
        return draw_violins(data)

    def interactive(self, data: Violins) -> go.Figure:
        """The same."""
        return interactive_violins(data)


def frequent_v1(values: pd.Series) -> float | None:
    """Of the v1 with at least half as many runs as the most frequent, the one nearest to 0.5."""
    counts = values.dropna().value_counts()
    if counts.empty:
        return None
    often = [float(value) for value in counts[2 * counts >= counts.max()].index]
    return min(often, key=lambda value: (abs(value - 0.5), value))
