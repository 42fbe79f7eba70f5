"""The whole v1 axis in one training: its front, the recommended v1, and who wins where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, final

import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing
from plotly.subplots import make_subplots

from msnas.report.beside import Word, write_beside
from msnas.report.chosen import page_layout
from msnas.report.conditioned_front import (
    PARTS,
    ConditionedFront,
    Part,
    conditioned_front,
    mean_regret,
)
from msnas.report.figure import Figure
from msnas.report.quantities import Quantity
from msnas.report.scan import Scan
from msnas.report.style import COLOURS, chain_colours, frame, lighter, style
from msnas.results.front import FrontPoint

ONCE, FIXED = "one training for all $v_1$ (YOTO)", "one training for each $v_1$"
KNEE = "recommended $v_1$"
NAMES: dict[Part, str] = {"valid": "validation", "test": "test"}

COLOUR, OTHER = COLOURS["blue"], COLOURS["vermilion"]


@final
class FrontOfV1(Figure[ConditionedFront]):
    """Validation and test beside each other, the winners below."""

    name: ClassVar[str] = "v1_front"
    title: ClassVar[str] = "The front along v1 from one training"
    caption: ClassVar[str] = (
        "Both tasks' metrics along v1, the weight of the first task, of runs that were trained "
        "once for all v1 (line: mean over seeds, with v1 beside it; thin: single seeds), and of "
        "runs trained at a fixed v1 that are otherwise the same (squares: means; small: single "
        "runs). The recommended v1 is the knee of the validation front: of the points that no "
        "other one beats in both metrics, the one furthest from the chord between the ends when "
        "both axes are scaled to [0, 1]; test values are not used for it and shown with open "
        "markers. Below: how many runs' super-network ranks a chain first at each v1, and the mean "
        "regret, the difference in validation loss from the chain that was selected to the best."
    )

    def data(self, scan: Scan) -> ConditionedFront:
        """Runs that were trained for a range of v1."""
        return conditioned_front(scan.runs)

    def draw(self, data: ConditionedFront) -> Drawing:
        """Two panels and a strip."""
        strip = bool(data.winners)
        with style():
            figure = Drawing(figsize=(10, 7 if strip else 4.9), layout="constrained")
            FigureCanvasAgg(figure)
            grid = figure.add_gridspec(1 + strip, 2, height_ratios=[3.4, 1.3][: 1 + strip])
            axes = {part: figure.add_subplot(grid[0, place]) for place, part in enumerate(PARTS)}
            for part in PARTS:
                _draw_front(axes[part], data, part)
            if strip:
                _draw_winners(figure.add_subplot(grid[1, :]), data)
            frame(figure, axes["valid"], _title(data), _notes(data), columns=3)
        return figure

    def interactive(self, data: ConditionedFront) -> go.Figure:
        """The same, panels below each other."""
        rows = 3 if data.winners else 2
        figure = make_subplots(
            rows=rows,
            cols=1,
            subplot_titles=[*NAMES.values(), *(["chains that win"] if data.winners else [])],
            vertical_spacing=0.3 / rows,
        )
        for row, part in enumerate(PARTS, start=1):
            _add_front(figure, data, part, row)
            first, last = limits(data, part)
            figure.update_xaxes(title=_label(data.tasks.first), range=first, row=row, col=1)
            figure.update_yaxes(title=_label(data.tasks.last), range=last, row=row, col=1)
        if data.winners:
            for chain, colour in chain_colours(_chains(data)).items():
                figure.add_bar(
                    x=[f"{one.v1:g}" for one in data.winners],
                    y=[one.chains.get(chain, 0) for one in data.winners],
                    name=chain,
                    marker_color=colour,
                    text=[f"mean regret {mean_regret(one):.2g}" for one in data.winners],
                    textposition="none",
                    hovertemplate=f"{chain}: %{{y}} runs<br>%{{text}}<extra></extra>",
                    row=3,
                    col=1,
                )
            figure.update_xaxes(title="v<sub>1</sub>", type="category", row=3, col=1)
            figure.update_yaxes(title="runs", row=3, col=1)
        figure.update_annotations(font_size=12)
        figure.update_layout(
            page_layout(_title(data), _notes(data), height=390 * rows), barmode="stack"
        )
        return figure


def _draw_front(axis: Axes, data: ConditionedFront, part: Part) -> None:
    hollow = part == "test"
    for one in data.once[part]:
        axis.plot(*_columns(one.points), "-", color=lighter(COLOUR, 0.7), lw=0.7, zorder=1)
    for one in data.fixed[part]:
        axis.plot(*_columns(one.points), "s", color=lighter(OTHER, 0.6), ms=2.5, mew=0, zorder=1)
    if data.fixed[part]:
        means = _columns(data.fixed_mean(part))
        axis.plot(
            *means,
            "s:",
            color=OTHER,
            ms=5.5,
            lw=1,
            label=FIXED,
            zorder=2,
            mfc="white" if hollow else OTHER,
        )
    front = data.mean(part)
    axis.plot(
        *_columns(front),
        "o-",
        color=COLOUR,
        ms=5,
        label=ONCE,
        zorder=3,
        mfc="white" if hollow else COLOUR,
    )
    knee = [point for point in front if point.v1 == data.recommended.mean]
    axis.plot(
        *_columns(knee),
        "*",
        color=COLOURS["yellow"] if part == "valid" else "white",
        ms=14,
        mec="black",
        mew=0.8,
        label=KNEE,
        zorder=4,
    )
    (left, right), (bottom, top) = limits(data, part)
    axis.set(xlim=(left, right), ylim=(bottom, top))
    write_beside(axis, [*_words(front, COLOUR), *_words(data.fixed_mean(part), OTHER)])
    axis.set(xlabel=_label(data.tasks.first), ylabel=_label(data.tasks.last))
    axis.set_title(NAMES[part])


def _words(points: Sequence[FrontPoint], colour: str) -> list[Word]:
    """The values of v1, the ends first."""
    return [
        Word(x=point.first, y=point.last, text=f"{point.v1:g}", colour=colour)
        for point in [*points[:1], *points[-1:], *points[1:-1]]
    ]


def limits(data: ConditionedFront, part: Part) -> tuple[tuple[float, float], tuple[float, float]]:
    """Of both axes: all runs for all v1, and the means at fixed v1 inside their range."""
    points = [point for one in data.once[part] for point in one.points]
    weights = [point.v1 for point in points]
    fixed = [one for one in data.fixed_mean(part) if min(weights) <= one.v1 <= max(weights)]
    found = []
    for values in _columns([*points, *fixed]):
        margin = 0.1 * (max(values) - min(values)) or 0.01
        found.append((min(values) - margin, max(values) + margin))
    return found[0], found[1]


def _draw_winners(axis: Axes, data: ConditionedFront) -> None:
    places = range(len(data.winners))
    bottom = [0] * len(data.winners)
    for chain, colour in chain_colours(_chains(data)).items():
        heights = [one.chains.get(chain, 0) for one in data.winners]
        axis.bar(places, heights, 0.7, bottom=bottom, color=colour, label=chain)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    for place, one in zip(places, data.winners, strict=True):
        axis.annotate(
            f"{mean_regret(one):.1g}",
            (place, bottom[place]),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8,
        )
    axis.set_xticks(places, [f"{one.v1:g}" for one in data.winners])
    axis.tick_params(axis="x", which="both", bottom=False, top=False)
    axis.tick_params(axis="y", which="minor", left=False, right=False)
    axis.set(xlabel="task 1 weight $v_1$", ylabel="runs", ylim=(0, 1.3 * max(bottom)))
    axis.set_title("chains that win in the super-network; above: mean regret of the selected one")
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _add_front(figure: go.Figure, data: ConditionedFront, part: Part, row: int) -> None:
    mark = "-open" if part == "test" else ""
    for fronts, means, name, colour, symbol in (
        (data.once[part], data.mean(part), ONCE, COLOUR, "circle"),
        (data.fixed[part], data.fixed_mean(part), FIXED, OTHER, "square"),
    ):
        shown = {"legendgroup": name, "name": _plain(name)}
        for one in fronts:
            x, y = _columns(one.points)
            figure.add_scatter(
                x=x,
                y=y,
                mode="lines+markers",
                line={"color": colour, "width": 1},
                marker={"color": colour, "size": 4, "symbol": symbol + mark},
                opacity=0.35,
                showlegend=False,
                text=[f"v1 = {point.v1:g}, seed {one.seed}" for point in one.points],
                customdata=[one.key] * len(one.points),
                hovertemplate="%{text}<br>%{x:.4f}, %{y:.4f}<br>run %{customdata}<extra></extra>",
                row=row,
                col=1,
                **shown,
            )
        if means:
            x, y = _columns(means)
            figure.add_scatter(
                x=x,
                y=y,
                mode="lines+markers",
                line={"color": colour, "dash": "solid" if name == ONCE else "dot"},
                marker={"color": colour, "size": 9, "symbol": symbol + mark},
                showlegend=row == 1,
                text=[f"v1 = {point.v1:g}, mean" for point in means],
                hovertemplate="%{text}<br>%{x:.4f}, %{y:.4f}<extra></extra>",
                row=row,
                col=1,
                **shown,
            )
    knee = [point for point in data.mean(part) if point.v1 == data.recommended.mean]
    x, y = _columns(knee)
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers",
        marker={"color": COLOURS["yellow"], "size": 15, "symbol": "star", "line": {"width": 1}},
        name=_plain(KNEE),
        legendgroup=KNEE,
        showlegend=row == 1,
        hovertemplate=f"recommended v1 = {data.recommended.mean:g}<extra></extra>",
        row=row,
        col=1,
    )


def _title(data: ConditionedFront) -> str:
    runs = len(data.once["valid"])
    return (
        f"recommended $v_1$ = {data.recommended.mean:g} (knee of the mean validation front of "
        f"{runs} run{'s' if runs > 1 else ''})"
    )


def _notes(data: ConditionedFront) -> list[str]:
    seeds = ", ".join(f"{v1:g} (seed {seed})" for seed, v1 in data.recommended.seeds.items())
    chains = ", ".join(f"{chain} {count}" for chain, count in data.selected.items())
    notes = [f"Knees of single runs: v1 = {seeds}. Selected chains: {chains}."]
    if found := data.differences("test"):
        told = "; ".join(f"{one.v1:g}: {_signed(one.first)}, {_signed(one.last)}" for one in found)
        names = f"{data.tasks.first.label}, {data.tasks.last.label}"
        notes.append(
            f"Test, mean difference of the same seeds, YOTO minus fixed ({names}), at v1 = {told}."
        )
    ends = data.once["valid"][0].points
    shown = (min(one.v1 for one in ends), max(one.v1 for one in ends))
    if outer := [
        f"{one.v1:g}" for one in data.fixed_mean("test") if not shown[0] <= one.v1 <= shown[1]
    ]:
        notes.append(f"Axes fit the range of v1 with YOTO, not for fixed v1 = {', '.join(outer)}.")
    return [*notes, *data.notes]


def _columns(points: Sequence[FrontPoint]) -> tuple[list[float], list[float]]:
    return [one.first for one in points], [one.last for one in points]


def _chains(data: ConditionedFront) -> list[str]:
    counts: dict[str, int] = {}
    for winner in data.winners:
        for chain, count in winner.chains.items():
            counts[chain] = counts.get(chain, 0) + count
    return sorted(counts, key=lambda chain: (-counts[chain], chain))


def _signed(value: float) -> str:
    return f"{round(value, 4) + 0.0:+.4f}"


def _plain(name: str) -> str:
    return name.replace("$v_1$", "v<sub>1</sub>")


def _label(quantity: Quantity) -> str:
    better = "higher" if quantity.higher_is_better else "lower"
    return f"{quantity.label} ({better} is better)"
