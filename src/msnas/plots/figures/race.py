"""When a race dropped each chain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product

import pandas as pd

from msnas.plots.axes import names_axis
from msnas.plots.bars import bar_panel
from msnas.plots.choose import distance_to_equal
from msnas.plots.grammar import Axis, Chart, Look, NothingToDraw, Panel
from msnas.plots.look import COLOURS, REST
from msnas.results.choice import Choice, choices_over_seeds
from msnas.results.result import Result
from msnas.results.runs import Runs
from msnas.terminal import CHAIN, chain_name

METHOD = "race"
MOST_CHAINS = 20
"""Most chains in a panel; the chains trained longest are shown."""

LAST, DROPPED = Look(colour=COLOURS["blue"]), Look(colour=REST)


def chart(runs: Runs) -> Chart:
    """How long each chain was trained: with how many seeds, or in a run for how many epochs.

    Task weights nearest to equal ones. Chains without a bar were dropped as they were pre-trained.
    """
    panels = []
    races = [one for one in choices_over_seeds(runs.finished) if _unequal(one)]
    if races:
        choice = min(races, key=lambda one: distance_to_equal(one.runs[0]))
        seeds = Counter(CHAIN.join(run.path) for run in choice.runs)
        panels.append(_panel(seeds, unit="seeds", runs=choice.runs, title="over seeds"))
    if alone := [run for run in runs.finished if run.method == METHOD and run.stages]:
        run = min(alone, key=lambda one: (distance_to_equal(one), one.seed))
        epochs = dict.fromkeys(map(CHAIN.join, product(*run.candidates)), 0)
        trained = run.stages["search"].get("epochs", {}).items()
        epochs |= {chain_name(name): count for name, count in trained}
        panels.append(_panel(epochs, unit="epochs", runs=[run], title=f"seed {run.seed}"))
    if not panels:
        raise NothingToDraw("no run of method=race, and no chains with more seeds than others")
    return Chart(title=runs.finished[0].problem, panels=panels, columns=2, size=(4.6, 3.4))


def _unequal(choice: Choice) -> bool:
    counts = Counter(run.path for run in choice.runs)
    given = all("chain" in run.config["method"] for run in choice.runs)  # by no search
    return given and len(counts) > 1 and len(set(counts.values())) > 1


def _panel(counts: Mapping[str, int], *, unit: str, runs: Sequence[Result], title: str) -> Panel:
    names = sorted(counts, key=lambda name: (-counts[name], name))[:MOST_CHAINS]
    most = max(counts.values())
    rows = pd.DataFrame({"x": range(len(names)), "base": 0.0, "y": [counts[one] for one in names]})
    rows["told"] = [f"{name}: {counts[name]} {unit}" for name in names]
    rows["key"] = runs[0].key
    rows["keys"] = [[run.key for run in runs]] * len(rows)
    longest = f"{most} {unit}"
    rows["kind"] = (rows["y"] == most).map({True: longest, False: "dropped before"})
    looks = {longest: LAST, "dropped before": DROPPED}
    y = Axis(label=unit, limits=(0.0, 1.05 * most))
    return bar_panel(rows, looks, x=names_axis(names), y=y, title=title)
