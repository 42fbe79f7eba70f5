"""Plots numbers of runs against a parameter: single runs, medians, their intervals.

A frame has a row for each number: `panel`, `series`, `x` (NaN: no fixed value), `y`, `key` of the
run, `told` (its hover text), and `once`: whether the run was trained once for a range of values.
Points of rows that are `loose` may lie beyond the axes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from msnas.plots.grammar import Axis, Band, Layer, Look, Panel, Points, Rule
from msnas.results.quantity import number_of
from msnas.results.result import Result
from msnas.results.statistics import FEWEST_SEEDS, LEVEL, median_of

BARS = (
    f"Small: single runs. Large: medians over seeds; from {FEWEST_SEEDS} runs on, bars and bands "
    f"are their {LEVEL * 100:g} % intervals (order statistics). The test sample's own error, "
    "common to all runs, is in the tables. What lies beyond an axis is told at its edge."
)

APART = 0.11
"""Distance between series at the same value, in positions of the axis of v1."""


def numbers(
    runs: Iterable[Result], metric: str, x: Callable[[Result], float | None], *, parameter: str = ""
) -> pd.DataFrame:
    """A row for each run with a test number of this metric: x, y, key, told, once.

    A run trained for a range of `parameter` has a row for each value it was judged at.
    """
    rows = []
    for run in runs:
        along = run.along(parameter) if run.conditioned else []
        points: list[tuple[float | None, Mapping[str, Any]]] = [(x(run), run.test)]
        if along:
            points = [(one["parameters"][parameter], one.get("test", {})) for one in along]
        for at, values in points:
            if (y := number_of(values, metric)) is not None:
                told = f"{run.chain}, seed {run.seed}" + (", YOTO" if along else "")
                row = {"x": at, "y": y, "key": run.key, "told": told, "once": bool(along)}
                rows.append(row)
    return pd.DataFrame(rows, columns=["x", "y", "key", "told", "once"])


def medians(rows: pd.DataFrame) -> pd.DataFrame:
    """At each x, in order: y (the median), low and high of its interval, n, key of a lone run.

    Where there is no interval, low and high equal the median.
    """
    found = []
    for x, part in rows.groupby(rows["x"].astype(float).round(9), sort=True):
        one = median_of(part["y"].tolist())
        below, above = one.bar
        told = f"median of {number_of_runs(one.count)}"
        if one.low is not None:
            told += f", {LEVEL * 100:g} %: {one.low:.4g} to {one.high:.4g}"
        loose = "loose" in part and bool(part["loose"].all())
        row = {"x": x, "y": one.median, "low": one.median - below, "high": one.median + above}
        lone = part.iloc[0] if one.count == 1 else {"key": "", "told": told}
        row |= {"n": one.count, "loose": loose, "key": lone["key"], "told": lone["told"]}
        row["median_of"] = dict(zip(part["key"], part["y"], strict=True))
        found.append(row)
    columns = ["x", "y", "low", "high", "n", "loose", "key", "told", "median_of"]
    return pd.DataFrame(found, columns=columns)


def panel_of(
    rows: pd.DataFrame,
    looks: Mapping[str, Look],
    *,
    x: Axis,
    y: Axis,
    title: str = "",
    apart: float = APART,
    joined: bool = False,
) -> Panel:
    """A panel of series, a little apart at the same x unless trained for a range of values."""
    parts = {series: part for series in looks if len(part := rows[rows["series"] == series])}
    fixed = [series for series, part in parts.items() if not part["once"].all()]
    places = np.sort(x.positions(rows["x"].dropna().unique()))
    gaps = [float(b - a) for a, b in pairwise(places) if b - a > 1e-6]
    apart = min([apart, *(0.7 * gap / len(fixed) for gap in gaps if fixed)])
    layers: list[Layer] = []
    for series, part in parts.items():
        place = fixed.index(series) - (len(fixed) - 1) / 2 if series in fixed else 0
        layers += _layers(series, part, looks[series], shift=place * apart, joined=joined)
    layers.sort(key=lambda one: isinstance(one, Points))  # draw marks over bands and rules
    return Panel(x=x, y=y, title=title, layers=layers)


def _layers(
    series: str, rows: pd.DataFrame, look: Look, *, shift: float, joined: bool
) -> Iterator[Layer]:
    """Layers of a series: a line across for runs without an x, band or bars, runs, medians."""
    across = rows.loc[rows["x"].isna(), "y"]
    if len(across):
        middle = pd.DataFrame({"y": [across.median()], "keys": [list(rows["key"])]})
        yield Rule(rows=middle, look=look, label=series, width=1.1)
    rows, middle = rows.dropna(subset="x"), medians(rows)
    once = bool(rows["once"].all())
    single = not (middle["low"] < middle["high"]).any()
    if once and not single:
        yield Band(rows=middle, look=look)
    if once or single:
        middle = middle.drop(columns=["low", "high"])
    if (middle["n"] > 1).any():
        light: Any = {"size": 2.5, "opacity": 0.55}
        small = rows[["x", "y", "key", "told"]]
        yield Points(rows=small, look=look, hollow=once, shift=shift, loose=True, **light)
    for loose, part in middle.groupby("loose"):
        yield Points(
            rows=part,
            look=look,
            size=4.0 if once else 5.0,
            width=1.6 if once else 1.1 if joined else 0.0,
            label="" if len(across) or loose else series,
            shift=shift,
            loose=bool(loose),
        )


def count_words(sizes: Iterable[int]) -> str:
    """The range of numbers of runs, such as `n = 5` or `n = 2 to 6`."""
    return "n = " + " to ".join(str(one) for one in sorted({min(sizes), max(sizes)}))


def with_counts(
    rows: pd.DataFrame, looks: Mapping[str, Look]
) -> tuple[pd.DataFrame, dict[str, Look]]:
    """Rows and looks with the number of runs per point added to the name of each series."""
    names = {}
    for series in looks:
        part = rows[rows["series"] == series]
        where = [part["panel"], part["x"].astype(float).round(9)]
        sizes = list(part.groupby(where, dropna=False).size())
        if sizes:
            names[series] = f"{series}, {count_words(sizes)}"
    told = {name: looks[series] for series, name in names.items()}
    return rows.assign(series=rows["series"].map(names)), told


def with_kinds(
    rows: pd.DataFrame, looks: Mapping[str, Look]
) -> tuple[pd.DataFrame, dict[str, Look]]:
    """Rows and looks with `, YOTO` in the names of series trained once for a range of values."""
    names = rows["series"] + rows["once"].map({True: ", YOTO", False: ""})
    both = {f"{series}{kind}": look for series, look in looks.items() for kind in ("", ", YOTO")}
    return with_counts(rows.assign(series=names), both)


def gap_notes(rows: pd.DataFrame, known: Mapping[float, str] | None = None) -> list[str]:
    """A note on the largest gap between the medians of YOTO and of trainings at single values."""
    told = []
    for series, part in rows.groupby("series", sort=False):
        both = [medians(part[part["once"] == once]).set_index("x")["y"] for once in (True, False)]
        gaps = (both[0] - both[1]).dropna()
        if len(gaps):
            at = float(gaps.abs().idxmax())
            words = f" ({known[at]})" if known and at in known else ""
            told.append(f"{series} {gaps[at]:+.3f} (at {at:g}{words})")
    gap = "Largest gap of the medians, YOTO minus single trainings:"
    return [f"{gap} {', '.join(told)}."] if told else []


def seconds_notes(fixed: Sequence[Result], once: Sequence[Result]) -> list[str]:
    """A note on the median time of a training at one value and with YOTO, if both are known."""
    known = [[run.training_seconds for run in runs if run.stages] for runs in (fixed, once)]
    if not all(known):
        return []
    single, whole = (float(np.median(np.array(one, dtype=float))) for one in known)
    return [f"Median time of a training: {single:.3g} s at one value, {whole:.3g} s with YOTO."]


def number_of_runs(count: int) -> str:
    """A number of runs in words, such as `1 run` or `7 runs`."""
    return f"{count} run{'s' if count != 1 else ''}"


def left_note(count: int, settings: str = "other settings") -> list[str]:
    """A note on runs that are left out for their settings."""
    return [f"Not shown: {number_of_runs(count)} with {settings}."] if count else []
