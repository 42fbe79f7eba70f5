"""Time and performance against the number of candidates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from msnas.plots.against import count_words, medians, number_of_runs
from msnas.plots.axes import log_axis, metric_axis, table_axis
from msnas.plots.choose import describe, distance_to_equal
from msnas.plots.grammar import Chart, Layer, Look, NothingToDraw, Panel, Points
from msnas.plots.look import in_order, looks
from msnas.results.alike import JUDGE, METHOD, alike
from msnas.results.quantity import quantity_of
from msnas.results.result import Result
from msnas.results.runs import Runs

STAGES = {
    "search and post-training [s]": ("search", "posttrain"),
    "with pre-training [s]": ("pretrain", "search", "posttrain"),
}

HOW = (
    "Small: single runs; large: medians over seeds. Dashed: C x^a, least squares in both "
    "logarithms, with its standard error."
)


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """seconds = factor * candidates^exponent; the exponent's `error` needs 3 candidate counts."""

    factor: float
    exponent: float
    error: float | None

    def __str__(self) -> str:
        error = "" if self.error is None else f" ± {self.error:.2f}"
        return f"a = {self.exponent:.2f}{error}"


def chart(runs: Runs) -> Chart:
    """Seconds of training and the last task's test metric against the candidates per task.

    Their mean number over tasks. Trainings taken from the cache count with the seconds they once
    took; the error of a needs three numbers of candidates. After Fig. 7 of the paper, which finds a
    near 1 for DARTS and SPOS and near 2 for grid search.
    """
    family = max(families(runs.finished), key=_worth, default=[])
    sizes = sorted({candidates_of(run) for _, run in family})
    if len(sizes) < 2:
        raise NothingToDraw(
            "all runs that could be compared have the same number of candidates per task"
        )
    ones = [run for _, run in family]
    metric = quantity_of(ones, ones[0].tasks[-1])
    if metric is None:
        raise NothingToDraw("the last task has no metric that is one number")
    rows = [
        {
            "method": label,
            "x": candidates_of(run),
            "key": run.key,
            "told": f"seed {run.seed}",
            "metric": metric.of(run),
            **{name: sum(run.seconds.get(one, 0) for one in STAGES[name]) for name in STAGES},
        }
        for label, run in family
    ]
    frame = pd.DataFrame(rows).sort_values("x", kind="stable")
    axes = {name: log_axis(name) for name in STAGES} | {"metric": metric_axis(metric)}
    x = table_axis("candidates per task", sizes)
    shown = looks(in_order(list(frame["method"])))
    panels = []
    for name, y in axes.items():
        own = frame.assign(y=frame[name]).dropna(subset="y")
        own = own[own["y"] > 0] if name in STAGES else own  # a time of 0 has no logarithm
        parts = [(look, own[own["method"] == label], label) for label, look in shown.items()]
        layers = [one for part in parts for one in _layers(*part, law=name in STAGES)]
        panels.append(Panel(x=x, y=y, layers=layers, own_legend=True))
    left = len(runs.finished) - len(family)
    repeated = f"Not shown: {number_of_runs(left)} of other settings or repeated."
    return Chart(
        title=describe(ones[0]),
        panels=panels,
        columns=3,
        size=(3.8, 3.7),
        notes=[HOW, repeated] if left else [HOW],
    )


def families(runs: Sequence[Result]) -> list[list[tuple[str, Result]]]:
    """Groups of runs that differ only in method, seed and candidates, with labels; no repeats."""
    found = []
    for group in alike(runs, but_for=["seed", *METHOD, *JUDGE, "tasks.*.candidates"]):
        parts = alike(group.runs, but_for=["seed", *METHOD, *JUDGE])
        by_label = [part.by_label(without=JUDGE) for part in parts]
        found.append(
            [(label, run) for one in by_label for label in one for run in one[label].values()]
        )
    return found


def power_law(candidates: Sequence[float], seconds: Sequence[float]) -> PowerLaw | None:
    """Least squares fit of log(seconds) to log(candidates); None for one number of candidates."""
    sizes = len(set(candidates))
    if sizes < 2:
        return None
    from scipy import stats  # a second to import: only where it is needed

    fit = stats.linregress(np.log(candidates), np.log(seconds))
    error = float(fit.stderr) if sizes > 2 else None
    return PowerLaw(factor=float(np.exp(fit.intercept)), exponent=float(fit.slope), error=error)


def candidates_of(run: Result) -> float:
    """Mean number of candidates per task."""
    return sum(map(len, run.candidates)) / len(run.tasks)


def _layers(look: Look, rows: pd.DataFrame, label: str, *, law: bool) -> Iterator[Layer]:
    if rows.empty:
        return
    middle = medians(rows).drop(columns=["low", "high"])
    words = count_words(middle["n"])
    if law and (fit := power_law(list(rows["x"]), list(rows["y"]))) is not None:
        ends = np.array([rows["x"].min(), rows["x"].max()])
        line = pd.DataFrame({"x": ends, "y": fit.factor * ends**fit.exponent})
        line["keys"] = [list(rows["key"])] * len(line)
        yield Points(rows=line, look=Look(colour=look.colour, dash="dash"), size=0, width=1.0)
        words = f"{fit}, {words}"
    if (middle["n"] > 1).any():
        yield Points(rows=rows, look=look, size=2.5, opacity=0.6, loose=True)
    yield Points(rows=middle, look=look, size=6, label=label, words=words)


def _worth(family: Sequence[tuple[str, Result]]) -> tuple[int, float, int]:
    """Rank of a family: most numbers of candidates, then most equal task weights, most runs."""
    sizes = {candidates_of(run) for _, run in family}
    return len(sizes), -distance_to_equal(family[0][1]), len(family)
