"""How the search decides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from msnas.errors import MsnasError
from msnas.plots.axes import whole_axis
from msnas.plots.choose import choose, read_all, task_words
from msnas.plots.grammar import Axis, Chart, Layer, Look, Panel, Points, Rule
from msnas.plots.look import REST, colours_of
from msnas.results.result import Result
from msnas.results.runs import Runs
from msnas.results.schema import Reading
from msnas.results.trajectories import History, read_beliefs, read_trajectories

MOST_METHODS = 5
MOST_SEEDS = 10
MOST_CANDIDATES = 8
"""Most candidates per task in colour; a figure with more colours cannot be read."""

READ = Look(colour="#333333", dash="dot")


def chart(runs: Runs) -> Chart:
    """Probability of every candidate at the end of each epoch of the search.

    Softmax(alpha) for DARTS, theta for ASNG. Early stopping ends a line. Of the scanned task
    weights, those nearest to equal ones. After Fig. 4 of the paper, which shows alpha itself, as
    the files in a run's directory do.
    """
    chosen = choose(runs, usable, most=MOST_METHODS)
    every = {label: list(ones.values())[:MOST_SEEDS] for label, ones in chosen.runs.items()}
    parts, notes = read_all(chosen.notes, every, frame_of)
    for label, ones in chosen.runs.items():
        if len(ones) > MOST_SEEDS:
            notes.append(f"{label}: {MOST_SEEDS} of {len(ones)} seeds.")
    frame = pd.concat(part.assign(label=label) for label, ones in parts.items() for part in ones)
    first = frame[frame["seed"] == frame.groupby("label")["seed"].transform("min")]
    colours = colours_by_size(first)
    for task, names in first.groupby("task", sort=False)["candidate"].unique().items():
        if rest := [colours[name] for name in names].count(REST):
            notes.append(f"{task}: {rest} of {len(names)} candidates in grey.")
    panels = [
        _panel(rows, f"{label}: {task}", colours)
        for (label, task), rows in frame.groupby(["label", "task"], sort=False)
    ]
    tasks = frame["task"].nunique()
    how = (
        "Thick: the lowest seed; thin: others. Dotted: the epoch of the lowest seed from which its "
        "weights and probabilities are read."
    )
    notes = [how, *notes, *_undecided(frame)]
    size = (4.2, 2.7)
    return Chart(
        title=chosen.title, panels=panels, columns=tasks, size=size, page_columns=tasks, notes=notes
    )


def usable(run: Result) -> str | None:
    """Why a run has no trajectories, or None."""
    try:
        found = read_trajectories(run.history())
    except (MsnasError, OSError, ValueError, KeyError):
        return "no readable history.jsonl"
    return None if found else f"{run.method} has neither alpha nor theta"


def frame_of(run: Result) -> pd.DataFrame:
    """A row for each task, candidate and epoch x: the probability y, and the search's choice.

    `read`: whether the search reads its choice at this epoch; `decided`: see `Trajectory.reading`.
    """
    history = run.history()
    trajectory = read_trajectories(history)[0]
    reading = read_beliefs(history, run.config)
    margins = {} if reading is None else reading["margins"]
    rows = [
        {
            "task": task_words(run, task),
            "candidate": candidate,
            "x": epoch,
            "y": float(value),
            "read": reading is not None and epoch == reading["epoch"],
            "decided": margins[task]["decided"] if task in margins else None,
        }
        for task, of_task in trajectory.probabilities().items()
        for candidate, values in of_task.items()
        for epoch, value in zip(trajectory.epochs, values, strict=True)
    ]
    told = {"seed": run.seed, "key": run.key, "symbol": trajectory.label}
    return pd.DataFrame(rows).assign(told=f"seed {run.seed}", **told)


def _undecided(frame: pd.DataFrame) -> list[str]:
    """A sentence for each method on the number of choices whose margin is inside its noise."""
    choices = frame.drop_duplicates(["label", "key", "task"]).dropna(subset="decided")
    return [
        f"{label}: {count} of {len(of)} choices undecided, margin inside its noise."
        for label, of in choices.groupby("label", sort=False)["decided"]
        if (count := int((~of.astype(bool)).sum()))
    ]


def colours_by_size(frame: pd.DataFrame) -> dict[str, str]:
    """A different colour for each candidate; grey for candidates of low probability everywhere."""
    largest = frame.groupby(["task", "candidate"], sort=False)["y"].max()
    most = largest.sort_values(ascending=False, kind="stable").groupby("task").head(MOST_CANDIDATES)
    coloured = set(most.index.get_level_values("candidate"))
    names = sorted(dict.fromkeys(frame["candidate"]), key=lambda name: name not in coloured)
    return colours_of(names, most=len(coloured))


def _panel(rows: pd.DataFrame, title: str, colours: Mapping[str, str]) -> Panel:
    layers: list[Layer] = []
    lowest = rows["seed"].min()
    for (seed, name), part in rows.groupby(["seed", "candidate"], sort=False):
        first = bool(seed == lowest)
        label = name if first and colours[name] != REST else ""
        look: dict[str, Any] = {"look": Look(colour=colours[name]), "label": label, "size": 0}
        layers.append(
            Points(rows=part, width=2.0 if first else 0.6, opacity=1 if first else 0.5, **look)
        )
    read = rows.loc[rows["read"] & (rows["seed"] == lowest), ["x"]].drop_duplicates()
    if len(read):
        layers.append(Rule(rows=read, look=READ, label="probabilities read here"))
    layers.sort(key=lambda one: bool(one.label))  # draw thick lines over thin lines
    y = Axis(label=f"probability ({rows['symbol'].iloc[0]})")
    return Panel(x=whole_axis("epoch of the search"), y=y, layers=layers, title=title)


def save_trajectories(history: History, reading: Reading | None, folder: Path) -> list[Path]:
    """Draw alpha (DARTS) or theta (ASNG) of one run, a panel per task.

    Returns the files written, `alpha.png` and `.pdf` or the same of theta; none without either.
    """
    from msnas.plots.paper import save  # matplotlib: a second

    written: list[Path] = []
    for one in read_trajectories(history):
        panels = []
        for task, of_task in one.values.items():
            layers: list[Layer] = []
            if reading is not None:
                undecided = task in reading["margins"] and not reading["margins"][task]["decided"]
                label = "read here, undecided" if undecided else "read here"
                rows = pd.DataFrame({"x": [reading["epoch"]]})
                layers.append(Rule(rows=rows, look=READ, label=label))
            for name, colour in colours_of(list(of_task)).items():
                rows = pd.DataFrame({"x": one.epochs, "y": of_task[name]})
                layers.append(
                    Points(rows=rows, look=Look(colour=colour), size=0, width=1.5, label=name)
                )
            x, y = whole_axis("epoch of the search"), Axis(label=one.label)
            panels.append(Panel(x=x, y=y, layers=layers, title=task, own_legend=True))
        drawn = Chart(title="", panels=panels, columns=len(panels), size=(4.4, 3.6))
        written += save(drawn, folder / one.name)
    return written
