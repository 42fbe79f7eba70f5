"""Losses for rare events side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, final

import plotly.graph_objects as go
from matplotlib.figure import Figure as Drawing

from msnas.report.alike import is_conditioned, most_alike
from msnas.report.chosen import number_of_runs
from msnas.report.class_panels import class_panels, has_class_metric
from msnas.report.collect import FinishedRun
from msnas.report.figure import Figure, NothingToDraw
from msnas.report.loss_parameters import words
from msnas.report.outputs import key_of
from msnas.report.panels import BANDS, Panels, Value, draw_panels, interactive_panels
from msnas.report.parameter_axis import names_axis
from msnas.report.scan import Scan
from msnas.report.settings import settings_of

SHARES = ("data.tau_fraction", "data.thin")
"""Settings of the share of rare events in training."""

ORDER = (
    "BinaryCrossEntropy",
    "CrossEntropy",
    "InverseClassFrequency",
    "ClassBalanced",
    "Focal",
    "Affinity",
)
"""From plain to elaborate; others follow."""


@final
class LossComparison(Figure[Panels]):
    """A row for each share of rare events in training."""

    name: ClassVar[str] = "loss_comparison"
    title: ClassVar[str] = "Losses for rare events"
    caption: ClassVar[str] = (
        "Test accuracy of the minor and the major class, their mean (balanced accuracy) and the "
        "AUC of runs that differ in the loss alone; a row for each composition of the training "
        "part. Validation and test events are not thinned. Of a loss with several settings, the "
        f"one with the most compositions and runs. {BANDS}"
    )

    def data(self, scan: Scan) -> Panels:
        """Runs of the first classification with two losses."""
        runs = [run for run in scan.runs if not is_conditioned(run)]
        task = _task_with_losses(runs)
        if task is None:
            raise NothingToDraw("no classification was trained with two different losses")
        kept, notes = most_alike(
            [run for run in runs if run.config["tasks"][task].get("loss")],
            [f"tasks.{task}.loss", *SHARES],
        )
        kinds: dict[str, dict[str, list[FinishedRun]]] = {}
        for run in kept:
            loss, setting = loss_of(run, task)
            kinds.setdefault(loss, {}).setdefault(setting, []).append(run)
        if len(kinds) < 2:
            raise NothingToDraw("no two losses in runs that are otherwise the same")
        chosen = {
            loss: max(settings.values(), key=lambda ones: (len(set(map(_share, ones))), len(ones)))
            for loss, settings in kinds.items()
        }
        left = len(kept) - sum(map(len, chosen.values()))
        if left:
            notes.append(f"Not shown: {number_of_runs(left)} with other settings of a loss.")
        told = {words(loss): loss_of(ones[0], task)[1] for loss, ones in chosen.items()}
        settings = [f"{loss} ({setting})" for loss, setting in told.items() if setting]
        if settings:
            notes.append(f"Settings: {'; '.join(settings)}.")
        names = sorted(chosen, key=lambda loss: (ORDER.index(loss) if loss in ORDER else 9, loss))
        axis = names_axis([words(name).replace(" ", "\n") for name in names])
        shares = sorted({_share(run) for ones in chosen.values() for run in ones}, reverse=True)
        rows = []
        for share in shares:
            there = {
                loss: [run for run in ones if _share(run) == share] for loss, ones in chosen.items()
            }
            first = next(run for ones in there.values() for run in ones)

            def values(
                metric: str, there: Mapping[str, Sequence[FinishedRun]] = there
            ) -> list[Value]:
                return [
                    Value(
                        parameter=names.index(loss),
                        number=float(number),
                        key=key_of(run),
                        told=f"{words(loss)}, seed {run.seed}",
                    )
                    for loss, ones in there.items()
                    for run in ones
                    if isinstance(
                        number := run.result["metrics"].get("test", {}).get(metric), int | float
                    )
                ]

            if panels := class_panels(task, composition(first), axis, [(False, values)]):
                rows.append(panels)
        return Panels(
            title=f"{scan.runs[0].result['problem']}: losses of {task}", rows=rows, notes=notes
        )

    def draw(self, data: Panels) -> Drawing:
        """Losses on the x axis."""
        return draw_panels(data, panel=(4.1, 3.9))

    def interactive(self, data: Panels) -> go.Figure:
        """The same."""
        return interactive_panels(data)


def loss_of(run: FinishedRun, task: str) -> tuple[str, str]:
    """The loss of a task and its settings, as text."""
    loss = dict(run.config["tasks"][task]["loss"])
    name = str(loss.pop("_target_")).rsplit(".", 1)[-1]
    return name, ", ".join(f"{key} {_words(value)}" for key, value in loss.items())


def composition(run: FinishedRun) -> str:
    """The training events of each class, `18,000 + 2,000 training events (10 %)`."""
    counts = list((run.result["data"].get("classes") or {}).get("train", {}).values())
    if not counts:
        return "training events as they are"
    share = min(counts) / sum(counts)
    told = " + ".join(f"{count:,}" for count in sorted(counts, reverse=True))
    return f"{told} training events ({100 * share:.2g} %)"


def _task_with_losses(runs: Sequence[FinishedRun]) -> str | None:
    for task in dict.fromkeys(task for run in runs for task in run.tasks):
        having = [
            run
            for run in runs
            if run.config["tasks"].get(task, {}).get("loss") and has_class_metric(run, task)
        ]
        if len({loss_of(run, task)[0] for run in having}) > 1:
            return task
    return None


def _share(run: FinishedRun) -> float:
    """The share of rare events that was asked for; 1 where nothing is thinned."""
    settings = settings_of(run)
    value = next((settings[key] for key in ("data.thin.fraction", *SHARES) if key in settings), 1)
    return float(value)


def _words(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
