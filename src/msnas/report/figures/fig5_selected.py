"""Which chains the methods select (paper, Fig. 5)."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure as Drawing
from plotly.subplots import make_subplots

from msnas.report.chains import chains_of
from msnas.report.chosen import page_layout
from msnas.report.figure import Figure, NothingToDraw
from msnas.report.scan import Scan
from msnas.report.style import chain_colours, frame, legend_columns, new_figure, style

COLUMNS = 3
"""Panels in a row."""

NO_V1 = "other"
"""Task weights that are not fixed."""


@dataclass(frozen=True, kw_only=True)
class Selected:
    """For each method the runs: key, seed, chain, v1 as a text; `chains` are best first."""

    title: str
    order: str
    chains: Sequence[str]
    weights: Sequence[str]
    runs: Mapping[str, pd.DataFrame]
    notes: Sequence[str]

    def shares(self, label: str) -> pd.DataFrame:
        """Share of each chain (columns) at each v1 (rows); NaN where there is no run."""
        runs = self.runs[label]
        counts = pd.crosstab(runs["v1"], runs["chain"])
        counts = counts.reindex(index=list(self.weights), columns=list(self.chains), fill_value=0)
        return counts.div(counts.sum(axis=1), axis=0)


@final
class SelectedChains(Figure[Selected]):
    """Shares of the selected chains against v1."""

    name: ClassVar[str] = "fig5_selected"
    title: ClassVar[str] = "Selected chains"
    caption: ClassVar[str] = (
        "Share of the runs that selected a chain, against v1, a panel per method; the number above "
        "a bar is that of its runs. Chains are stacked in the order of the last task's "
        "performance, best at the bottom. After Fig. 5 of the paper."
    )

    def data(self, scan: Scan) -> Selected:
        """The runs of methods that select."""
        selects = ["chain" not in run.config["method"] for run in scan.runs]
        table = scan.table[selects]
        if table.empty:
            raise NothingToDraw("no run of a method that selects a chain")
        chains, order = _order(scan, table)
        v1 = sorted(table["v1"].dropna().round(9).unique())
        told = table["v1"].round(9).map(lambda one: NO_V1 if math.isnan(one) else f"{one:g}")
        weights = [f"{one:g}" for one in v1] + ([NO_V1] if (told == NO_V1).any() else [])
        left = int(len(scan.table) - len(table))
        return Selected(
            title=str(table["problem"].iloc[0]),
            order=order,
            chains=chains,
            weights=weights,
            runs={
                str(label): part.assign(v1=told[part.index])[["key", "seed", "chain", "v1"]]
                for label, part in table.groupby("label", sort=True)
            },
            notes=[
                f"Order of the chains: {order}.",
                *([f"Not shown: {left} runs of methods with a given chain."] if left else []),
            ],
        )

    def draw(self, data: Selected) -> Drawing:
        """Stacked bars."""
        colours = chain_colours(data.chains)
        columns = min(COLUMNS, len(data.runs))
        rows = -(-len(data.runs) // columns)
        with style():
            width = max(2.6, 0.9 + 0.38 * len(data.weights), 5.0 / columns)
            figure, axes = new_figure(rows, columns, panel=(width, 3.1), sharey=True)
            for axis, label in zip(axes.flat, data.runs, strict=False):
                shares = data.shares(label).fillna(0)
                bottom = pd.Series(0.0, index=shares.index)
                for chain in data.chains:
                    axis.bar(
                        range(len(shares)),
                        shares[chain],
                        bottom=bottom,
                        width=0.8,
                        color=colours[chain],
                        edgecolor="white",
                        linewidth=0.5,
                    )
                    bottom += shares[chain]
                counts = data.runs[label]["v1"].value_counts()
                for place, weight in enumerate(data.weights):
                    if weight in counts:
                        axis.text(place, 1.02, str(counts[weight]), ha="center", fontsize=8)
                axis.set_title("\n".join(textwrap.wrap(label, int(width * 11))), fontsize=10)
                axis.set_xticks(range(len(data.weights)), [_short(one) for one in data.weights])
                axis.tick_params(axis="x", which="both", top=False, length=0)
                axis.tick_params(axis="x", which="minor", bottom=False)
                axis.set(xlabel=r"$v_1$", ylim=(0, 1.12), xlim=(-0.6, len(data.weights) - 0.4))
            for axis in axes[:, 0]:
                axis.set_ylabel("share of runs")
            for axis in list(axes.flat)[len(data.runs) :]:
                axis.set_axis_off()
            for chain in data.chains:
                axes[0, 0].bar(0, 0, color=colours[chain], label=chain)
            columns = legend_columns(figure, data.chains)
            frame(figure, axes[0, 0], data.title, data.notes, columns=columns)
        return figure

    def interactive(self, data: Selected) -> go.Figure:
        """The same, panels below each other; the runs of a part of a bar are told."""
        colours = chain_colours(data.chains)
        rows = len(data.runs)
        figure = make_subplots(
            rows=rows, cols=1, subplot_titles=list(data.runs), vertical_spacing=0.3 / rows
        )
        for row, (label, runs) in enumerate(data.runs.items(), start=1):
            shares = data.shares(label)
            for chain in data.chains:
                which = [
                    runs[(runs["v1"] == weight) & (runs["chain"] == chain)]
                    for weight in data.weights
                ]
                if not any(map(len, which)):
                    continue
                figure.add_bar(
                    x=list(data.weights),
                    y=shares[chain].tolist(),
                    marker_color=colours[chain],
                    name=chain,
                    legendgroup=chain,
                    showlegend=not any(trace.name == chain for trace in figure.data),
                    customdata=[part["key"].iloc[0] if len(part) else None for part in which],
                    text=[_told(part) for part in which],
                    textposition="none",
                    hovertemplate=f"{label}, v1 = %{{x}}<br>{chain}: %{{y:.0%}}"
                    "<br>%{text}<extra></extra>",
                    row=row,
                    col=1,
                )
        figure.update_xaxes(
            type="category", categoryarray=list(data.weights), title="v<sub>1</sub>"
        )
        figure.update_yaxes(range=[0, 1], title="share of runs")
        layout = page_layout(data.title, data.notes, height=260 * rows)
        figure.update_layout({**layout, "barmode": "stack"})
        return figure


def _order(scan: Scan, table: pd.DataFrame) -> tuple[list[str], str]:
    """The selected chains, best first, and by what."""
    selected = set(table["chain"])
    quantity = scan.quantities.last
    try:
        chains = chains_of(scan)
    except NothingToDraw:
        pass
    else:
        if selected <= set(chains.order):
            weight = "" if chains.v1 is None else f" at v1 = {chains.v1:g}"
            order = f"median {chains.part} {chains.quantity.label} of each chain{weight}"
            return [chain for chain in chains.order if chain in selected], order
    if quantity is None:
        return sorted(selected), "alphabetic, as there is no metric"
    medians = table.groupby("chain")[quantity.test].median()
    ordered = medians.sort_values(ascending=not quantity.higher_is_better, kind="stable").index
    return list(map(str, ordered)), f"median test {quantity.label} of the runs that selected them"


def _told(runs: pd.DataFrame) -> str:
    seeds = ", ".join(map(str, sorted(runs["seed"])))
    return f"seeds {seeds}<br>run {', '.join(runs['key'])}" if len(runs) else ""


def _short(weight: str) -> str:
    """`.99` for `0.99`."""
    return weight.removeprefix("0") if weight.startswith("0.") else weight
