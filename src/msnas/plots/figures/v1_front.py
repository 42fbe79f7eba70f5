"""The front along v1 from one training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from msnas.plots.against import left_note, number_of_runs, seconds_notes
from msnas.plots.axes import metric_axis, names_axis
from msnas.plots.bars import bar_panel
from msnas.plots.figures.honesty_v1 import told_v1
from msnas.plots.grammar import Axis, Chart, Layer, Look, NothingToDraw, Panel, Points, Words
from msnas.plots.look import COLOURS, chain_looks
from msnas.plots.plane import (
    TwoTasks,
    marks_last,
    over_weights,
    plane_layers,
    two_tasks,
)
from msnas.results.alike import SPLIT, WEIGHTS, alike, largest
from msnas.results.constrained import Bounds, recommendations
from msnas.results.front import knee, mean_front
from msnas.results.result import TASK_WEIGHT, Part, Result
from msnas.results.runs import Runs
from msnas.terminal import CHAIN

PARTS: dict[Part, str] = {"valid": "validation", "test": "test"}
NAMES = {False: "one training for each $v_1$", True: "one training for all $v_1$ (YOTO)"}
LOOKS = {
    False: Look(colour=COLOURS["vermilion"], marker="square", dash="dot"),
    True: Look(colour=COLOURS["blue"]),
}
STAR = Look(colour=COLOURS["yellow"], marker="star")


def chart(runs: Runs) -> Chart:
    """Both tasks' metrics along v1, the weight of the first task.

    Of runs that were trained once for all v1 (line: mean over seeds, with v1 beside it; thin:
    single seeds), and of runs trained at a fixed v1 that are otherwise the same (squares: means;
    small: single runs). The recommended v1 is the best one for the last task whose intermediate
    outputs are honest; where that was not measured, the knee of the validation front: of the points
    that no other one beats in both metrics, the one furthest from the chord between the ends when
    both axes are scaled to [0, 1]. Test values, with open markers, are not used for it. Then: how
    many runs' super-network ranks a chain first at each v1, and the mean regret, the difference
    in validation loss from the chain that was selected to the best.
    """
    tasks = two_tasks(runs.finished)
    conditioned = [run for run in runs.finished if over_weights(run)]
    once, left = largest(conditioned, but_for=["seed", "weight", *SPLIT, TASK_WEIGHT])
    if not once:
        raise NothingToDraw("no run was trained for a range of v1 (conditioning=yoto)")
    groups = alike([*once, *runs.finished], but_for=["seed", *SPLIT, *WEIGHTS])
    same = next(group.runs for group in groups if once[0] in group.runs)
    fixed = list({run.key: run for run in same if run.fixed_v1 is not None}.values())
    frame = rows_of([*once, *fixed], tasks)
    first = {run.seed: run.key for run in reversed(once)}
    fronts = frame[(frame["part"] == "valid") & frame["key"].isin(first.values())]
    if fronts["key"].nunique() < len(first):
        raise NothingToDraw("runs for a range of v1 without both tasks' validation numbers")
    higher = (bool(tasks.first.higher_is_better), bool(tasks.last.higher_is_better))
    middle = knee(mean(fronts), higher=higher)
    knees = [
        f"{knee(fronts[fronts['key'] == first[seed]], higher=higher):g} (seed {seed})"
        for seed in sorted(first)
    ]
    honest = recommendations(once, Bounds())
    best = honest[0].v1 if honest else middle
    panels = [
        Panel(
            x=metric_axis(tasks.first, "", direction=True),
            y=metric_axis(tasks.last, "", direction=True),
            layers=front_layers(frame[frame["part"] == part], best, hollow=part == "test"),
            title=name,
        )
        for part, name in PARTS.items()
    ]
    if len(found := winners(once)):
        panels.append(winners_panel(found))
    chains = Counter(run.chain for run in once)
    return Chart(
        title=f"{told_v1(honest[0])}, see honesty_v1"
        if honest
        else f"recommended $v_1$ = {middle:g} (knee of the mean validation front of "
        f"{number_of_runs(len(once))})",
        panels=panels,
        columns=len(panels),
        size=(4.6, 4.4),
        notes=[
            "Large: means; small: single runs; numbers: v1. "
            f"Knees of single runs: v1 = {', '.join(knees)}. "
            f"Selected chains: {', '.join(f'{one} {count}' for one, count in chains.items())}.",
            *difference_notes(frame[frame["part"] == "test"], tasks),
            *seconds_notes(fixed, once),
            *left_note(left),
        ],
    )


def rows_of(runs: Sequence[Result], tasks: TwoTasks) -> pd.DataFrame:
    """A row for each part, run and v1: part, once, seed, key, v1, x, y."""
    parts = [(part, run) for part in PARTS for run in runs]
    rows = [{**row, "part": part} for part, run in parts for row in tasks.of(run, part)]
    return pd.DataFrame(rows, columns=["part", "once", "seed", "key", "v1", "x", "y"])


def mean(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean over runs at every v1, with n; for runs trained for all v1, only at v1 shared by all."""
    found = mean_front(rows)
    found = found[found["n"] >= (rows["key"].nunique() if rows["once"].all() else 1)]
    keys = [list(rows["key"].unique())] * len(found)
    return found.assign(told="mean at v1 = " + found["v1"].map("{:g}".format), keys=keys)


def front_layers(frame: pd.DataFrame, best: float | None, *, hollow: bool) -> list[Layer]:
    """Layers of both kinds of run (trained for all v1, at fixed v1), and the recommended v1."""
    layers: list[Layer] = []
    for once, rows in frame.groupby("once"):
        name = NAMES[bool(once)]
        layers += plane_layers(name, rows, mean(rows), LOOKS[bool(once)], hollow=hollow)
    means = mean(frame[frame["once"]])
    label = "" if hollow else "recommended $v_1$"
    star: Any = {"look": STAR, "size": 8, "hollow": hollow, "edge": "#000000", "label": label}
    return marks_last([*layers, Points(rows=means[means["v1"] == best], **star)])


def difference_notes(frame: pd.DataFrame, tasks: TwoTasks) -> list[str]:
    """A note: mean difference of runs for all v1 to runs at fixed v1 with the same seed."""
    ones = [
        frame[frame["once"] == once].drop_duplicates(["v1", "seed"]).set_index(["v1", "seed"])
        for once in (True, False)
    ]
    gaps = (ones[0][["x", "y"]] - ones[1][["x", "y"]]).dropna().groupby("v1").mean()
    if gaps.empty:
        return []
    told = "; ".join(
        f"{v1:g}: {round(x, 4) + 0.0:+.4f}, {round(y, 4) + 0.0:+.4f}"
        for v1, x, y in gaps.itertuples()
    )
    names = ", ".join(one.label for one in tasks)
    return [f"Test, mean difference of the same seeds, YOTO minus fixed ({names}), at v1 = {told}."]


def winners(runs: Sequence[Result]) -> pd.DataFrame:
    """The super-network's best chain of each run and v1, with the selected chain's regret."""
    rows = [
        {
            "v1": round(float(one["parameters"][TASK_WEIGHT]), 9),
            "chain": CHAIN.join(run.path_of(one["selected"])),
            "regret": float(one["regret"]),
        }
        for run in runs
        for one in run.winners
        if one["parameters"] in [shown["parameters"] for shown in run.along(TASK_WEIGHT)]
    ]
    return pd.DataFrame(rows, columns=["v1", "chain", "regret"])


def winners_panel(found: pd.DataFrame) -> Panel:
    """A bar panel of how many runs' super-network ranks a chain first; above, the mean regret."""
    counts = found.groupby(["v1", "chain"]).size().unstack(fill_value=0)
    counts = counts[counts.sum().sort_values(ascending=False, kind="stable").index]
    tops, regrets = counts.cumsum(axis=1), found.groupby("v1")["regret"].mean()
    rows = pd.DataFrame({"y": tops.stack(), "n": counts.stack()}).reset_index(names=["v1", "kind"])
    rows = rows[rows["n"] > 0].assign(base=rows["y"] - rows["n"])
    rows["x"] = rows["v1"].map(list(tops.index).index)
    means = rows["v1"].map(regrets).map("{:.2g}".format)
    rows["told"] = rows["n"].astype(str) + " runs<br>mean regret " + means
    above = {"x": range(len(tops)), "y": tops.max(axis=1), "text": regrets.map("{:.1g}".format)}
    names = [f"{v1:g}".removeprefix("0") or "0" for v1 in tops.index]
    return bar_panel(
        rows,
        chain_looks(list(map(str, counts))),
        x=names_axis(names, "task 1 weight $v_1$"),
        y=Axis(label="runs", limits=(0, 1.15 * float(tops.to_numpy().max()))),
        title="chains that win in the super-network; above: mean regret of the selected one",
        upon=[Words(rows=pd.DataFrame(above), above=True)],
    )
