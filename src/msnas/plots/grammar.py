"""The parts of a figure: panels of layers on axes, independent of how they are drawn.

Numbers are in the units of the data; an axis converts them to positions. Texts may hold `$...$`
with `_`, `^` and Greek letters of TeX; each renderer writes them in its own way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, final

import numpy as np
import pandas as pd
from jaxtyping import Float

from msnas.plots.ranges import span

Marker = Literal[
    "circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star"
]
Dash = Literal["solid", "dash", "dot", "dashdot"]
Side = Literal["x", "y"]
Positions = Float[np.ndarray, " number"]
Names = tuple[str, ...]
Ticks = Mapping[float, str]

NEAR = 1 / 16
"""Marks beyond an axis are told together within this share of the other axis."""


class NothingToDraw(Exception):  # noqa: N818 - no error
    """The runs have nothing that the figure shows; the message says what is missing."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """Colour, mark and line style of a series."""

    colour: str = "#000000"
    marker: Marker = "circle"
    dash: Dash = "solid"


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What an axis measures, and at which positions its values stand.

    `place` gives the position of a value (None: the value itself), `ticks` the texts by position
    between two positions (None: round numbers), `breaks` the positions at which the scale changes.
    The axis reaches to its `limits`, in units of the data, plus a `margin`, in positions; without
    limits as far as the layers need, with `grow` from zero on.
    """

    label: str = ""
    limits: tuple[float, float] | None = None
    margin: float = 0.0
    grow: bool = False
    place: Callable[[float], float] | None = None
    ticks: Callable[[float, float], Ticks] | None = None
    breaks: Sequence[float] = ()
    askew: bool = False

    def positions(self, values: Any) -> Positions:
        """Positions of values on the axis."""
        numbers: Positions = np.asarray(values, dtype=float)
        if self.place is not None:
            numbers = np.array([self.place(one) for one in numbers])
        return numbers


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One kind of mark. Layers with a `label` are in the legend, where `words` follow the label.

    `rows` hold the numbers, and may hold `key` (of the run) and `told` (hover text on the page).
    For filtering runs on the page: `median_of` has by key the numbers y whose median a mark is,
    `share` the keys of a bar's runs and of all runs at its place, `keys` the runs of any other
    mark of several runs. Marks of a `loose` layer may lie beyond the axes if they would stretch
    the axes too far.
    """

    rows: pd.DataFrame
    look: Look = field(default_factory=Look)
    label: str = ""
    words: str = ""
    loose: bool = False
    x: ClassVar[Names] = ("x",)
    y: ClassVar[Names] = ("y",)

    @property
    def entry(self) -> str:
        """The layer's text in a legend."""
        return f"{self.label}: {self.words}" if self.words else self.label

    @property
    def hold(self) -> str:
        """How many of the layer's marks must lie within the axes: a group of `span`."""
        return "loose" if self.loose else "firm"

    def numbers(self, side: Side) -> Positions:
        """All numbers of the layer along one axis."""
        names = [name for name in getattr(self, side) if name in self.rows]
        found: Positions = self.rows[names].to_numpy(dtype=float).ravel()
        return found


@final
@dataclass(frozen=True, kw_only=True)
class Points(Layer):
    """Marks at x and y, with a line through them if it has a `width`; without `size` only the line.

    `low` and `high` are ends of a bar along y, `left` and `right` along x. `edge` is a colour
    around the marks; `shift` moves all marks along x, in positions.
    """

    x: ClassVar[Names] = ("x", "left", "right")
    y: ClassVar[Names] = ("y", "low", "high")
    size: float = 5.0
    width: float = 0.0
    hollow: bool = False
    edge: str = ""
    opacity: float = 1.0
    shift: float = 0.0

    @property
    def hold(self) -> str:
        """Marks are `core`, so an outlier may lie beyond the axes; lines are `firm`."""
        return "loose" if self.loose else "core" if self.size else "firm"


@final
@dataclass(frozen=True, kw_only=True)
class Band(Layer):
    """The area between `low` and `high`, along x."""

    y: ClassVar[Names] = ("low", "high")


@final
@dataclass(frozen=True, kw_only=True)
class Steps(Layer):
    """A histogram: `left`, `right` and `y` of each bin, and its `error`, drawn if `bars` is set."""

    x: ClassVar[Names] = ("left", "right")
    filled: bool = False
    bars: bool = True


@final
@dataclass(frozen=True, kw_only=True)
class Violin(Layer):
    """The density of the numbers y at one x, with lines at the quantiles 0, 1/4, 1/2, 3/4 and 1.

    Without a `body` only the line at the median is drawn. Only points on it stretch the y axis.
    """

    y: ClassVar[Names] = ()
    width: float
    body: bool = True


@final
@dataclass(frozen=True, kw_only=True)
class Bars(Layer):
    """Bars from `base` to `y` at x."""

    y: ClassVar[Names] = ("base", "y")


@final
@dataclass(frozen=True, kw_only=True)
class Rule(Layer):
    """A line across the panel at the x or the y of each row."""

    width: float = 0.8


@final
@dataclass(frozen=True, kw_only=True)
class Image(Layer):
    """An image: `value` of the pixels around x and y, on a logarithmic colour scale from `scale`.

    Lower values are white. With `bar` a colour bar stands beside the image.
    """

    scale: tuple[float, float]
    unit: str
    bar: bool = True

    def pixels(self) -> pd.DataFrame:
        """Values by y (rows) and x (columns)."""
        return self.rows.pivot(index="y", columns="x", values="value")


@final
@dataclass(frozen=True, kw_only=True)
class Words(Layer):
    """Labels `text` of the points x and y: just `above` them, or beside them where there is room.

    The first rows choose their places first; labels without room are left out.
    """

    x: ClassVar[Names] = ()
    y: ClassVar[Names] = ()
    above: bool = False


@dataclass(frozen=True, kw_only=True)
class Beyond:
    """Marks outside a panel: the nearest position inside, and a text with their values."""

    x: float
    y: float
    look: Look
    text: str


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Layers on two axes, first layers lowest; with `own_legend` the panel has its own legend."""

    x: Axis
    y: Axis
    layers: Sequence[Layer]
    title: str = ""
    own_legend: bool = False

    def limits(self, side: Side) -> tuple[float, float]:
        """Ends of an axis [position]."""
        return self._limits[side]

    @cached_property
    def _limits(self) -> dict[Side, tuple[float, float]]:
        return {"x": self._reach("x"), "y": self._reach("y")}

    def _reach(self, side: Side) -> tuple[float, float]:
        axis = self.x if side == "x" else self.y
        if axis.limits is not None:
            low, high = axis.positions(axis.limits).tolist()
            return low - axis.margin, high + axis.margin
        groups: dict[str, list[float]] = {"core": [], "loose": [], "firm": []}
        for one in self.layers:
            groups[one.hold] += axis.positions(one.numbers(side)).tolist()
        low, high = span(**{name: np.array(group) for name, group in groups.items()})
        margin = 0.07 * (high - low) or 0.05 * abs(high) or 0.5
        return (0.0 if axis.grow else low - margin), high + margin

    @cached_property
    def beyond(self) -> list[Beyond]:
        """The marks outside the axes; a layer's marks near one place of the frame are merged.

        Where a median is outside, single runs at the same place of the frame are not listed.
        """
        ends = {"x": self.limits("x"), "y": self.limits("y")}
        found: dict[tuple[Any, ...], tuple[pd.DataFrame, pd.DataFrame]] = {}
        points = [one for one in self.layers if isinstance(one, Points) and one.size]
        for layer in sorted(points, key=lambda one: (one.loose, -one.size)):
            at = pd.DataFrame({"x": self.x.positions(layer.rows["x"]) + layer.shift})
            at["y"] = self.y.positions(layer.rows["y"])
            inside = at.assign(**{side: at[side].clip(*ends[side]) for side in ends})
            if at.equals(inside):
                continue
            near = {
                side: (inside[side] - low) // ((high - low) * NEAR)
                for side, (low, high) in ends.items()
            }
            out = np.sign(at - inside).add_suffix("_out")
            places = pd.DataFrame({**near, **out})[(out != 0).any(axis=1)]
            own = {
                (layer.look.colour, *place): (inside.iloc[part.index], layer.rows.iloc[part.index])
                for place, part in places.groupby(list(places))
            }
            found = own | found
        return [
            Beyond(
                x=float(at["x"].median()),
                y=float(at["y"].median()),
                look=Look(colour=colour, marker=_POINTING[int(up)]),
                text=_told([part[side] for side, out in (("x", across), ("y", up)) if out]),
            )
            for (colour, _, _, across, up), (at, part) in found.items()
        ]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Panels in rows of `columns` panels (`page_columns` on the page).

    `notes` say what is shown and what is not; `size` is the size of a panel on paper [inch].
    """

    title: str
    panels: Sequence[Panel]
    columns: int
    notes: Sequence[str] = ()
    size: tuple[float, float] = (4.1, 3.5)
    page_columns: int = 1

    @property
    def frame(self) -> pd.DataFrame:
        """All rows drawn, as a tidy table: each with its layer, label, panel title and y axis."""
        return pd.concat(
            layer.rows.assign(
                y_axis=panel.y.label,
                panel=panel.title,
                layer=type(layer).__name__,
                label=layer.label,
            )
            for panel in self.panels
            for layer in panel.layers
        )

    def legend(self) -> dict[str, Layer]:
        """The layer that stands for each entry of the common legend."""
        found: dict[str, Layer] = {}
        for layer in (one for panel in self.panels if not panel.own_legend for one in panel.layers):
            if layer.label:
                found.setdefault(layer.entry, layer)
        return found


_POINTING: Mapping[int, Marker] = {1: "triangle-up", -1: "triangle-down", 0: "diamond"}


def _told(values: Sequence[pd.Series]) -> str:
    """Values beyond an axis, such as `9.7` or `3.9 to 4.2 (3)`."""
    ends = [sorted({f"{one.min():.3g}", f"{one.max():.3g}"}, key=float) for one in values]
    count = f" ({len(values[0])})" if len(values[0]) > 1 else ""
    return ", ".join(" to ".join(one) for one in ends) + count
