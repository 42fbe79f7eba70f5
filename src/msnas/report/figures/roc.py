"""How well the last task tells the classes apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float, Integer
from matplotlib.figure import Figure as Drawing
from plotly.subplots import make_subplots

from msnas.errors import DataError
from msnas.report.chosen import choose, page_layout, with_failures, with_outputs
from msnas.report.collect import FinishedRun
from msnas.report.figure import Figure
from msnas.report.outputs import BINARY, binary_of, key_of, last_task_with, read_outputs
from msnas.report.scan import Scan
from msnas.report.style import frame, legend_columns, looks, new_figure, style
from msnas.results.statistics import auc_covariance

EFFICIENCY = np.linspace(0, 1, 201)
"""Signal efficiencies at which curves are kept."""

MOST_SEEDS = 10

FEWEST = 5
"""Background events that must pass for a rejection to be drawn."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One run: false positive rate at every `EFFICIENCY`; area, and its error without weights."""

    seed: int
    key: str
    background: Float[np.ndarray, " efficiency"]
    auc: float
    error: float | None


@dataclass(frozen=True, kw_only=True)
class Curves:
    """All runs by label; `least` is the smallest false positive rate worth a rejection."""

    title: str
    task: str
    least: float
    runs: Mapping[str, Sequence[Curve]]
    notes: Sequence[str]


@final
class Roc(Figure[Curves]):
    """ROC, and background rejection against signal efficiency."""

    name: ClassVar[str] = "roc"
    title: ClassVar[str] = "ROC and background rejection"
    caption: ClassVar[str] = (
        "Test events. Left: true against false positive rate; right: background rejection, 1 / "
        f"false positive rate, drawn where at least {FEWEST} background events pass. Thick: median "
        "over seeds at each signal efficiency; thin: single seeds. AUC: median over seeds +- the "
        "standard error one run has from its test sample (DeLong), which all runs share. Of the "
        "scanned task weights, those nearest to equal ones."
    )

    def data(self, scan: Scan) -> Curves:
        """The curves of every seed of each method."""
        chosen = choose(scan, _usable)
        failed = []
        runs: dict[str, list[Curve]] = {}
        fewest = np.inf
        for label, by_seed in chosen.runs.items():
            for run in by_seed.values():
                try:
                    curve, negatives = _curve(run)
                except DataError as error:
                    failed.append(f"{label}, seed {run.seed}: {error}")
                    continue
                runs.setdefault(label, []).append(curve)
                fewest = min(fewest, negatives)
        notes = with_failures(chosen.notes, failed, nothing=not runs)
        for label, ones in runs.items():
            if len(ones) > MOST_SEEDS:
                notes.append(f"{label}: {MOST_SEEDS} of {len(ones)} seeds as thin lines.")
        run = next(iter(next(iter(chosen.runs.values())).values()))
        return Curves(
            title=chosen.title,
            task=str(last_task_with(run, BINARY)),
            least=FEWEST / fewest,
            runs=runs,
            notes=notes,
        )

    def draw(self, data: Curves) -> Drawing:
        """Both forms side by side."""
        with style():
            # the legend above takes a line for each method
            figure, axes = new_figure(1, 2, panel=(4.2, 3.6 + 0.2 * len(data.runs)))
            whole, rejection = axes[0]
            for label, look in looks(list(data.runs)).items():
                curves = data.runs[label]
                thin: dict[str, Any] = {"lw": 0.5, "alpha": 0.4}
                thick: dict[str, Any] = {"lw": 1.8, "label": f"{label}: {_auc(curves)}"}
                single = curves[:MOST_SEEDS] if len(curves) > 1 else []
                for background, settings in (
                    *((one.background, thin) for one in single),
                    (median_curve(curves), thick),
                ):
                    settings = {"color": look.colour, "ls": look.line, **settings}
                    whole.plot(background, EFFICIENCY, **settings)
                    seen = background >= data.least
                    rejection.plot(EFFICIENCY[seen], 1 / background[seen], **settings)
            whole.plot([0, 1], [0, 1], color="0.6", lw=0.8, ls=":")
            whole.set(xlim=(0, 1), ylim=(0, 1))
            whole.set(xlabel="false positive rate", ylabel="true positive rate")
            rejection.set(xlim=(0, 1), ylim=(1, None), yscale="log")
            rejection.set(xlabel="signal efficiency", ylabel="background rejection 1 / FPR")
            labels = [str(line.get_label()) for line in whole.get_legend_handles_labels()[0]]
            title = f"{data.title}: AUC of {data.task}"
            frame(figure, whole, title, data.notes, columns=legend_columns(figure, labels))
        return figure

    def interactive(self, data: Curves) -> go.Figure:
        """The same."""
        figure = make_subplots(
            cols=2, subplot_titles=["ROC", "background rejection"], horizontal_spacing=0.12
        )
        for label, look in looks(list(data.runs)).items():
            curves = data.runs[label]
            thin = curves[:MOST_SEEDS] if len(curves) > 1 else []
            middle = median_curve(curves)
            for background, curve in [*((one.background, one) for one in thin), (middle, None)]:
                # the median of a single run is that run
                run = curve or (curves[0] if len(curves) == 1 else None)
                told = f"{label}, seed {run.seed}<br>run {run.key}" if run else f"{label}, median"
                coarse = slice(None, None, 2 if curve else 1)  # thin lines need fewer points
                false, true = background[coarse], EFFICIENCY[coarse]
                seen = false >= data.least
                for column, x, y in ((1, false, true), (2, true[seen], 1 / false[seen])):
                    figure.add_scatter(
                        x=np.round(x, 4).tolist(),
                        y=np.round(y, 4).tolist(),
                        mode="lines",
                        line={
                            "color": look.colour,
                            "width": 1 if curve else 3,
                            "dash": look.plotly_line,
                        },
                        opacity=0.4 if curve else 1.0,
                        name=f"{label}: {_auc(curves)}",
                        legendgroup=label,
                        showlegend=column == 1 and curve is None,
                        customdata=[run.key] * len(x) if run else None,
                        hovertemplate=f"{told}<br>%{{x:.3f}}, %{{y:.3f}}<extra></extra>",
                        row=1,
                        col=column,
                    )
        figure.update_xaxes(range=[0, 1])
        figure.update_xaxes(title="false positive rate", col=1)
        figure.update_xaxes(title="signal efficiency", col=2)
        figure.update_yaxes(title="true positive rate", range=[0, 1], col=1)
        figure.update_yaxes(title="1 / false positive rate", type="log", col=2)
        figure.update_layout(
            page_layout(data.title, data.notes, height=360),
            legend_title_text=f"AUC of {data.task}",
        )
        return figure


def median_curve(curves: Sequence[Curve]) -> Float[np.ndarray, " efficiency"]:
    """Median over runs of the false positive rate at every `EFFICIENCY`."""
    return np.asarray(np.median([one.background for one in curves], axis=0))


def roc_curve(
    score: Float[np.ndarray, " event"],
    label: Integer[np.ndarray, " event"],
    weight: Float[np.ndarray, " event"],
) -> tuple[Float[np.ndarray, " efficiency"], float]:
    """False positive rate at every `EFFICIENCY`, between cuts linear, and the area under the ROC.

    Both classes must weigh something.
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


def _usable(run: FinishedRun) -> str | None:
    if last_task_with(run, BINARY) is None:
        return f"{run.result['problem']} has no task with two classes"
    return with_outputs(run)


def _curve(run: FinishedRun) -> tuple[Curve, int]:
    """The curve of a run, and the number of its background events."""
    outputs = read_outputs(run)
    score, label = binary_of(outputs, str(last_task_with(run, BINARY)))
    background, area = roc_curve(score, label, outputs.weight)
    counts = np.bincount(label)
    error = None
    if counts.min() >= 2 and np.ptp(outputs.weight) == 0:
        error = float(np.sqrt(auc_covariance(score[None], label)[1][0, 0]))
    curve = Curve(seed=run.seed, key=key_of(run), background=background, auc=area, error=error)
    return curve, int(counts[0])


def _auc(curves: Sequence[Curve]) -> str:
    middle = np.median([one.auc for one in curves])
    errors = [one.error for one in curves if one.error is not None]
    error = f" ± {np.median(errors):.3f}" if errors else ""
    seeds = f" ({len(curves)} seeds)" if len(curves) > 1 else ""
    return f"{middle:.3f}{error}{seeds}"
