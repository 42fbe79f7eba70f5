"""ROC and background rejection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Integer

from msnas.auc import auc_covariance
from msnas.plots.axes import log_axis
from msnas.plots.choose import choose, read_all, task_words
from msnas.plots.figures.score import usable
from msnas.plots.grammar import Axis, Chart, Layer, Look, Panel, Points
from msnas.plots.look import looks
from msnas.results.outputs import BINARY, binary_of, last_task_with, read_outputs
from msnas.results.result import Result
from msnas.results.runs import Runs

EFFICIENCY = np.linspace(0, 1, 201)
"""Signal efficiencies at which curves are evaluated."""

MOST_SEEDS = 10

FEWEST = 5
"""Background events that must pass for a rejection to be drawn."""

HOW = (
    "Thick: median over seeds; thin: single seeds. ± is the standard error of one run from its "
    f"test events (DeLong). Rejection is drawn where {FEWEST} background events pass."
)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A run's false positive rate at every `EFFICIENCY`, AUC, and its error if unweighted."""

    run: Result
    background: Float[np.ndarray, " efficiency"]
    auc: float
    error: float | None
    negatives: int


def chart(runs: Runs) -> Chart:
    """True against false positive rate of test events, and background rejection, 1 / the latter.

    The median over seeds is that at each signal efficiency. AUC: median over seeds +- the standard
    error one run has from its test sample, which all runs share. Of the scanned task weights, those
    nearest to equal ones.
    """
    chosen = choose(runs, usable)
    every = {label: list(by_seed.values()) for label, by_seed in chosen.runs.items()}
    found, notes = read_all(chosen.notes, every, curve_of)
    least = FEWEST / min(one.negatives for curves in found.values() for one in curves)
    layers: list[Layer] = []
    for label, look in looks(list(found)).items():
        layers += _lines(label, found[label], look)
        if len(found[label]) > MOST_SEEDS:
            notes.append(f"{label}: {MOST_SEEDS} of {len(found[label])} seeds as thin lines.")
    unit = (0.0, 1.0)
    ends = pd.DataFrame({"x": unit, "y": unit})
    diagonal = Points(rows=ends, look=Look(colour="#999999", dash="dot"), size=0, width=0.8)
    rejection = log_axis("background rejection 1 / FPR", limits=(1.0, 1 / least))
    run = found[next(iter(found))][0].run
    task = task_words(run, str(last_task_with(run, BINARY)))
    return Chart(
        title=f"{chosen.title}: AUC of {task}",
        panels=[
            Panel(
                x=Axis(label="false positive rate", limits=unit),
                y=Axis(label="true positive rate", limits=unit),
                layers=[diagonal, *layers],
            ),
            Panel(
                x=Axis(label="signal efficiency", limits=unit),
                y=rejection,
                layers=[rejected(one, least) for one in layers if isinstance(one, Points)],
            ),
        ],
        columns=2,
        size=(4.2, 3.6 + 0.2 * len(found)),
        notes=[HOW, *notes],
    )


def rejected(line: Points, least: float) -> Points:
    """A ROC curve as 1 / false positive rate against efficiency, for rates of at least `least`."""
    rows = line.rows[line.rows["x"] >= least]
    return replace(line, rows=rows.assign(x=rows["y"], y=1 / rows["x"]))


def roc_curve(
    score: Float[np.ndarray, " event"],
    label: Integer[np.ndarray, " event"],
    weight: Float[np.ndarray, " event"],
) -> tuple[Float[np.ndarray, " efficiency"], float]:
    """False positive rate at every `EFFICIENCY`, linear between cuts, and the area under the ROC.

    Both classes must have a non-zero weight.
    """
    cuts, place = np.unique(-score, return_inverse=True)
    rates = []
    for one in (0, 1):
        passed = np.bincount(place, weights=weight * (label == one), minlength=len(cuts)).cumsum()
        rates.append(np.concatenate(([0.0], passed / passed[-1])))
    false, true = rates
    area = float(np.trapezoid(true, false))
    # negative weights can make a rate fall; the curve is read from its upper envelope
    return np.interp(EFFICIENCY, np.maximum.accumulate(true), np.maximum.accumulate(false)), area


def curve_of(run: Result) -> Curve:
    """The curve of a run; raises DataError without scores of two classes."""
    outputs = read_outputs(run)
    score, label = binary_of(outputs, str(last_task_with(run, BINARY)))
    background, area = roc_curve(score, label, outputs.weight)
    counts = np.bincount(label)
    error = None
    if counts.min() >= 2 and np.ptp(outputs.weight) == 0:
        error = float(np.sqrt(auc_covariance(score[None], label)[1][0, 0]))
    return Curve(run=run, background=background, auc=area, error=error, negatives=int(counts[0]))


def _lines(label: str, curves: Sequence[Curve], look: Look) -> Iterator[Points]:
    """Thin lines of single seeds, and their median."""
    rows = pd.DataFrame({"x": 0.0, "y": EFFICIENCY})
    thin: dict[str, Any] = {"look": look, "size": 0, "width": 0.5, "opacity": 0.4}
    for one in curves[:MOST_SEEDS] if len(curves) > 1 else []:
        told = {"key": one.run.key, "told": f"{label}, seed {one.run.seed}"}
        # thin lines need fewer points
        yield Points(rows=rows.assign(x=one.background, **told).iloc[::4], **thin)
    middle = np.median([one.background for one in curves], axis=0)
    # with a single run, the median is that run
    key = curves[0].run.key if len(curves) == 1 else ""
    words = told_auc(curves)
    keys = [[one.run.key for one in curves]] * len(rows)
    thick = rows.assign(x=middle, key=key, keys=keys)
    yield Points(rows=thick, look=look, size=0, width=1.8, label=label, words=words)


def told_auc(curves: Sequence[Curve]) -> str:
    """In words: median area over seeds, its error from the test events, number of seeds."""
    middle = np.median([one.auc for one in curves])
    errors = [one.error for one in curves if one.error is not None]
    error = f" ± {np.median(errors):.3f}" if errors else ""
    return f"{middle:.3f}{error} (n = {len(curves)})"
