"""How figures look: the style of the field, in small figures, with colours that stay the same.

Figures are made without pyplot, so drawing leaves nothing behind and needs no screen.
"""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import mplhep
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

COLOURS = {
    "blue": "#0072b2",
    "orange": "#e69f00",
    "green": "#009e73",
    "vermilion": "#d55e00",
    "purple": "#cc79a7",
    "sky": "#56b4e9",
    "yellow": "#f0e442",
    "grey": "#7f7f7f",
    "brown": "#8c510a",
    "black": "#000000",
}
"""Okabe and Ito's colours, told apart by the colour-blind, and two more."""

METHODS = {
    "darts": COLOURS["blue"],
    "spos": COLOURS["orange"],
    "grid_search": COLOURS["green"],
    "asng": COLOURS["vermilion"],
    "fixed_chain": COLOURS["purple"],
    "end_to_end": COLOURS["sky"],
    "random_choice": COLOURS["grey"],
}
"""DARTS, SPOS and grid search as in the paper (Fig. 6)."""

CANDIDATES = {
    "mlp": COLOURS["orange"],
    "cnn": COLOURS["blue"],
    "lstm": COLOURS["green"],
    "sf": COLOURS["purple"],
    "mass": COLOURS["vermilion"],
    "zeros": COLOURS["grey"],
    "noise": COLOURS["black"],
}

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
PLOTLY_MARKERS = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "triangle-down",
    "cross",
    "x",
    "star",
)
LINES = ("-", "--", ":", "-.")
PLOTLY_LINES = ("solid", "dash", "dot", "dashdot")

SMALL: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 8.5,
    "legend.title_fontsize": 8.5,
    "figure.titlesize": 11,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "xtick.major.size": 5,
    "xtick.minor.size": 2.5,
    "ytick.major.size": 5,
    "ytick.minor.size": 2.5,
    "xtick.major.pad": 4,
    "savefig.dpi": 160,
    "pdf.fonttype": 42,
}
"""The field's style is made for figures of 10 inches; ours are as wide as a column of text."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """Colour, marker and line of one kind of run, the same on paper and on the page."""

    colour: str
    marker: str
    line: str
    plotly_marker: str
    plotly_line: str


@contextmanager
def style() -> Iterator[None]:
    """The style of CMS by mplhep with our sizes, inside the `with` only."""
    with mpl.rc_context():
        mpl.rcParams.update(mplhep.style.CMS)
        mpl.rcParams.update(SMALL)
        yield


def new_figure(
    rows: int = 1,
    columns: int = 1,
    *,
    panel: tuple[float, float] = (4.0, 3.2),
    sharex: bool = False,
    sharey: bool = False,
) -> tuple[Figure, np.ndarray]:
    """An empty figure, and its axes [rows, columns]; `panel` is the size of one [inch].

    Call it, draw and save inside `style()`.
    """
    layout = ConstrainedLayoutEngine(w_pad=0.1)  # the labels of the outer axes stay inside
    figure = Figure(figsize=(panel[0] * columns, panel[1] * rows), layout=layout)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey)


def axis_break(axes: Axes, place: float) -> None:
    """Two strokes across the x axis at `place`, below and above: the scale ends there."""
    for height in (0, 1):
        for shift in (-0.07, 0.07):
            axes.plot(
                [place + shift],
                [height],
                transform=axes.get_xaxis_transform(),
                marker=[(-0.5, -1), (0.5, 1)],
                markersize=7,
                linestyle="none",
                color="black",
                mew=0.8,
                clip_on=False,
            )


def save(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Write `<stem>.png` and `<stem>.pdf`, without a date: the same runs give the same files."""
    paths = stem.with_name(stem.name + ".png"), stem.with_name(stem.name + ".pdf")
    with style():
        figure.savefig(paths[0], metadata={"Software": None})
        figure.savefig(paths[1], metadata={"CreationDate": None})
    return paths


def method_colour(method: str) -> str:
    """The colour of a method; of one without a colour of its own, by its name."""
    return METHODS.get(method, _by_name(method))


def candidate_colour(candidate: str) -> str:
    """The colour of a candidate; of one without a colour of its own, by its name."""
    return CANDIDATES.get(candidate, _by_name(candidate))


def chain_colours(chains: Sequence[str]) -> dict[str, str]:
    """A colour for each chain, none twice; up to nine are easily told apart."""
    plain = list(COLOURS.values())[:9]
    shades = (0.0, 0.45, 0.7)
    return {
        chain: lighter(plain[place % 9], shades[min(place // 9, 2)])
        for place, chain in enumerate(chains)
    }


def looks(labels: Sequence[str]) -> dict[str, Look]:
    """The look of each label: the colour of its method (its first word) or a shade."""
    count: dict[str, int] = {}
    found = {}
    for label in dict.fromkeys(labels):
        method = label.split(" ")[0].rstrip(",")
        place = count.get(method, 0)
        count[method] = place + 1
        own = list(METHODS).index(method) if method in METHODS else 7
        mark = (own + 3 * place) % len(MARKERS)
        found[label] = Look(
            colour=_colour_of(method, place),
            marker=MARKERS[mark],
            line=LINES[place % len(LINES)],
            plotly_marker=PLOTLY_MARKERS[mark],
            plotly_line=PLOTLY_LINES[place % len(PLOTLY_LINES)],
        )
    return found


def lighter(colour: str, share: float) -> str:
    """`colour` mixed with this share of white."""
    red, green, blue = (part + (1 - part) * share for part in to_rgb(colour))
    return to_hex((red, green, blue))


def frame(figure: Figure, axes: Axes, title: str, notes: Sequence[str], *, columns: int) -> None:
    """Title and the legend of `axes` above all panels, notes below: nothing covers a point."""
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside upper center",
        ncols=max(columns, 1),
        title=title,
        title_fontsize=11,
    )
    if notes:
        text = textwrap.wrap(" ".join(notes), int(figure.get_figwidth() * 17))
        figure.supxlabel("\n".join(text), fontsize=7, color="0.3")


def legend_columns(figure: Figure, labels: Sequence[str]) -> int:
    """How many labels of a legend stand side by side in the width of the figure."""
    longest = max(map(len, labels), default=1)
    return max(1, min(len(labels), int(figure.get_figwidth() * 13 / (longest + 6))))


def _colour_of(method: str, place: int) -> str:
    """Two lighter shades for further labels of a method, then other colours."""
    if place < 3:
        return lighter(method_colour(method), (0.0, 0.35, 0.6)[place])
    others = [one for one in list(COLOURS.values())[:9] if one != method_colour(method)]
    return others[(place - 3) % len(others)]


def _by_name(name: str) -> str:
    """A colour that depends on the name alone, so that it is the same in every figure."""
    plain = list(COLOURS.values())[:9]
    return plain[int(hashlib.sha256(name.encode()).hexdigest(), 16) % len(plain)]
