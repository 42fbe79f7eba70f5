"""How sure the choices are."""

from __future__ import annotations

import pandas as pd

from msnas.plots.axes import names_axis
from msnas.plots.bars import bar_panel
from msnas.plots.choose import distance_to_equal
from msnas.plots.grammar import Axis, Chart, Look, NothingToDraw, Panel, Points
from msnas.plots.look import COLOURS, REST, in_order
from msnas.results.choice import Choice, choices_over_seeds
from msnas.results.runs import Runs

MOST_CHAINS = 12
"""Most chains in a panel, besides the tie set."""

LOOKS = {"tie set": Look(colour=COLOURS["blue"]), "other chains": Look(colour=REST)}
DEFAULT = Look(colour=COLOURS["vermilion"], marker="diamond")


def chart(runs: Runs) -> Chart:
    """The probability of each chain to have the lowest expected validation loss, given the seeds.

    A panel for each method, at the task weights nearest to equal ones. The tie set is the smallest
    set of chains that holds the best with 95 %. The default takes each task's best pre-trained
    candidate.
    """
    choices = choices_over_seeds(runs.finished)
    if not choices:
        raise NothingToDraw("no two runs with losses.h5 that differ in their seeds and rank chains")
    panels, notes = [], []
    for label in in_order([choice.label for choice in choices]):
        own = [choice for choice in choices if choice.label == label]
        choice = min(own, key=lambda one: distance_to_equal(one.runs[0]))
        panels.append(_panel(choice))
        notes.append(f"{choice.title}. {choice.words()[0]}")
    if left := len(choices) - len(panels):
        notes.append(f"Not shown: {left} choices at other task weights or settings.")
    return Chart(
        title=runs.finished[0].problem, panels=panels, columns=2, size=(4.6, 3.4), notes=notes
    )


def _panel(choice: Choice) -> Panel:
    table = choice.table()
    shown = table[(table.index < MOST_CHAINS) | table["tie set"] | table["default"]]
    shown = shown.reset_index(drop=True)
    told = [
        f"{row['chain']}: P = {row['P(best)']:.3f}\n"
        f"regret {row['regret']:.4f} ({row['low']:.4f} to {row['high']:.4f})"
        for row in shown.to_dict("records")
    ]
    rows = pd.DataFrame({"x": shown.index, "base": 0.0, "y": shown["P(best)"], "told": told})
    rows["key"] = choice.runs[0].key
    rows["keys"] = [[run.key for run in choice.runs]] * len(rows)
    rows["kind"] = shown["tie set"].map({True: "tie set", False: "other chains"})
    default = Points(rows=rows[shown["default"]], look=DEFAULT, label="default")
    return bar_panel(
        rows,
        LOOKS,
        x=names_axis(list(shown["chain"])),
        y=Axis(label="P(best)", limits=(0.0, 1.05)),
        title=choice.label,
        upon=[default] if len(default.rows) else [],
    )
