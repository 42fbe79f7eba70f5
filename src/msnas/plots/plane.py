"""Plots runs of two supervised tasks in the plane of the two tasks' metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pandas as pd

from msnas.plots.against import count_words
from msnas.plots.grammar import Layer, Look, NothingToDraw, Points, Words
from msnas.results.quantity import Quantity, number_of, quantity_of
from msnas.results.result import TASK_WEIGHT, Part, Result

UNTRAINED = (0.0, 1.0)
"""Weights at which one task is not trained; marks there may lie beyond the axes."""


class TwoTasks(NamedTuple):
    """The quantities of both supervised tasks."""

    first: Quantity
    last: Quantity

    def of(self, run: Result, part: Part) -> Iterator[dict[str, object]]:
        """Both tasks' numbers of a run, as x and y, at every v1 it was judged at.

        With v1 (None if not fixed), key, seed, and `once` if the run was trained for a range of v1.
        """
        along = run.along(TASK_WEIGHT)
        once = len(along) > 1
        points = [(float(one["parameters"][TASK_WEIGHT]), one.get(part, {})) for one in along]
        for v1, values in sorted(points) if once else [(run.fixed_v1, run.part(part))]:
            x, y = number_of(values, self.first.name), number_of(values, self.last.name)
            if x is not None and y is not None:
                row = {"x": x, "y": y, "key": run.key, "seed": run.seed, "once": once}
                yield {**row, "v1": None if v1 is None else round(v1, 9)}


def two_tasks(runs: Sequence[Result]) -> TwoTasks:
    """The first metric of each task that is one number with a better direction.

    Raises NothingToDraw unless there are two supervised tasks that have a metric of this kind.
    """
    if not runs:
        raise NothingToDraw("no finished run")
    tasks = runs[0].supervised
    if len(tasks) != 2:
        raise NothingToDraw(f"two tasks with a loss are needed, the chain has {len(tasks)}")
    found = []
    for task in tasks:
        quantity = quantity_of(runs, task)
        if quantity is None:
            raise NothingToDraw(f"{task} has no metric that is one number with a better direction")
        found.append(quantity)
    return TwoTasks(*found)


def over_weights(run: Result) -> bool:
    """Whether a run was trained for a range of v1, and judged at two v1 at least."""
    return len(run.along(TASK_WEIGHT)) > 1


def plane_layers(
    name: str, rows: pd.DataFrame, middle: pd.DataFrame, look: Look, *, hollow: bool = False
) -> Iterator[Layer]:
    """Layers of single runs, and of their mean or median at every v1, joined and labelled with v1.

    `rows` are as from `TwoTasks.of`; `middle` holds the means or medians: v1, x, y, n, keys, told.
    The labels at the ends of the line are placed first.
    """
    joined = bool(middle["v1"].notna().any())
    single = rows[~rows["v1"].isin(UNTRAINED)]
    once = bool(rows["once"].all())
    for _, own in single.groupby("key" if once else "once") if len(rows) > len(middle) else ():
        weight = own["v1"].map(lambda v1: "" if v1 != v1 else f", v1 = {v1:g}")
        small = own[["x", "y", "key"]].assign(told="seed " + own["seed"].astype(str) + weight)
        width = 0.7 if once else 0.0
        yield Points(rows=small, look=look, size=2.5, width=width, opacity=0.4, loose=True)
    if joined:
        yield Points(rows=middle[["x", "y", "keys"]], look=look, size=0, width=1.3, loose=True)
    for loose, part in middle.groupby(middle["v1"].isin(UNTRAINED)):
        yield Points(
            rows=part,
            look=look,
            size=5.5 if joined else 8.0,
            hollow=hollow,
            label="" if loose else f"{name}, {count_words(middle['n'])}",
            loose=bool(loose),
        )
    known = middle.dropna(subset="v1")
    ends_first = dict.fromkeys([*known.index[:1], *known.index[-1:], *known.index])
    text = known.loc[list(ends_first), ["x", "y", "v1"]]
    yield Words(rows=text.assign(text=text["v1"].map("{:g}".format)), look=look)


def marks_last(layers: Sequence[Layer]) -> list[Layer]:
    """The layers in the order of drawing: single runs and lines, marks, labels."""
    return sorted(layers, key=lambda one: (isinstance(one, Words), not one.loose))
