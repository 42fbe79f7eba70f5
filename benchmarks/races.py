"""A race over chains and seeds against a full grid search, from the losses of finished runs.

    python benchmarks/races.py runs=runs/htautau [resamplings=200] [confidence=0.95] [regret=0.002]
        [budget=72] [seeds=20]

The runs are grid searches that differ in their seed. Each resampling puts the seeds in another
order and draws the validation events anew, with replacement; the grid search has all seeds, the
race takes them as it goes. *Tied* is how often the race's chain is in the tie set of the grid
search. Without runs: banks of 9 chains and 20 seeds of known truth, a new one each time, with the
spreads of `htautau` at 10,000 events; *best* is then how often the chain is the true best.

Of the runs' curves a race by epochs is replayed too: how often it finds the best chain of its seed,
what it loses in validation loss otherwise, and its share of the epochs.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from msnas.confidence import how_sure
from msnas.methods.race import FINALISTS, FIRST_EPOCHS, better_half
from msnas.race import RaceOverSeeds, Rules
from msnas.results.alike import alike
from msnas.results.choice import ONE_CHOICE
from msnas.results.losses import read_losses
from msnas.results.result import Result
from msnas.results.runs import collect
from msnas.results.statistics import rate_estimate
from msnas.run_directory import LOSSES

TRUTH, TAU, OMEGA, SIGMA, EVENTS = 0.02, 0.004, 0.13, 0.1, 2000
"""Spreads of chains, trainings, events, and of both together, and validation events."""

Bank = tuple[str, np.ndarray]


def banks_of(folder: Path, *, seeds: int) -> Iterator[Bank]:
    """Losses [chain, seed, event] of each group of grid searches, at most so many seeds."""
    finished = [
        run
        for run in collect([folder]).finished
        if run.method == "grid_search" and (run.directory / LOSSES).is_file()
    ]
    for group in alike(finished, but_for=ONE_CHOICE):
        runs = sorted(group.runs, key=lambda run: run.seed)[:seeds]
        losses = [read_losses(run).ranked for run in runs]
        if len(runs) > 2:
            weights = ", ".join(f"{one:g}" for one in runs[0].weights)
            table = np.array([[one[path] for one in losses] for path in losses[0]])
            yield f"{runs[0].problem}, weights {weights}", table


def drawn(bank: np.ndarray | None, generator: np.random.Generator) -> np.ndarray:
    """A resampling of a bank, or a new bank whose true losses rise from chain to chain."""
    if bank is None:
        chain, training = (9, 1, 1), (9, 20, 1)
        truth = np.sort(TRUTH * generator.standard_normal(chain), axis=0)
        own = TAU * generator.standard_normal(training)
        of_events = OMEGA * generator.standard_normal((9, 1, EVENTS))
        return truth + own + of_events + SIGMA * generator.standard_normal((9, 20, EVENTS))
    seeds, events = bank.shape[1:]
    return bank[:, generator.permutation(seeds)][:, :, generator.integers(events, size=events)]


def raced(losses: np.ndarray, rules: Rules) -> RaceOverSeeds:
    """The race in a bank."""
    race = RaceOverSeeds(chains=len(losses), seeds=losses.shape[1], rules=rules)
    while race.round:
        race.take({one: losses[one] for of_round in race.rounds for one in of_round})
    return race


def by_epochs(run: Result) -> tuple[float, float]:
    """What a race by epochs loses to the grid search it is replayed from, and its share of epochs.

    Its own lowest losses so far, as `msnas.methods.race` has them; of runs that judged the start.
    """
    start: dict[str, float] = run.stages["search"]["start"]
    curves: dict[str, list[float]] = {name: [loss] for name, loss in start.items()}
    for line in (run.directory / "history.jsonl").read_text().splitlines():
        epoch = json.loads(line)
        if epoch["stage"] == "search":
            curves[epoch["model"]].append(epoch["valid/loss"])
    end = max(map(len, curves.values())) - 1
    lowest = {
        name: np.minimum.accumulate(np.pad(curve, (0, end + 1 - len(curve)), mode="edge"))
        for name, curve in curves.items()
    }
    alive, at, until, spent = better_half(start), 0, min(FIRST_EPOCHS, end), 0
    while until < end:
        spent += len(alive) * (until - at)
        alive = better_half({name: lowest[name][until] for name in alive})
        at, until = until, 2 * until if len(alive) > FINALISTS else end
    spent += len(alive) * (end - at)
    found = min(lowest[name][end] for name in alive)
    return float(found - min(curve[end] for curve in lowest.values())), spent / len(start) / end


def main() -> None:
    """Print a row for each bank, and why its races ended."""
    words = dict(word.split("=", 1) for word in sys.argv[1:])
    count = int(words.pop("resamplings", 200))
    seeds, folder = int(words.pop("seeds", 20)), words.pop("runs", None)
    rules = Rules(**{name: float(value) for name, value in words.items()})
    console = Console()
    if folder is not None:
        grids = [run for run in collect([Path(folder)]).finished if run.method == "grid_search"]
        replayed = [by_epochs(run) for run in grids if run.stages["search"].get("start")]
        if replayed:
            lost, shares = zip(*replayed, strict=True)
            console.print(
                f"By epochs: the best chain in {sum(loss <= 0 for loss in lost)} of {len(lost)} "
                f"runs, loss {np.mean(lost):.4f} (at most {max(lost):.4f}), {np.mean(shares):.3f} "
                "of the epochs",
                highlight=False,
            )
    banks: list[tuple[str, np.ndarray | None]] = [("made", None)]
    if folder is not None:
        banks = [*banks_of(Path(folder), seeds=seeds)]
    table = Table("bank", "chains", "seeds", "same chain", "same or tied", "trainings", "most")
    for name, bank in banks:
        generator = np.random.default_rng(0)
        same, tied, best, shares, ends = [], [], [], [], Counter[str]()
        for _ in range(count):
            losses = drawn(bank, generator)
            race, full = raced(losses, rules), how_sure(losses)
            assert race.sure is not None
            chain = race.sure.order[0]
            same.append(full.order[0] == chain)
            tied.append(full.chains[chain].tied)
            best.append(chain == 0)
            shares.append(race.trainings / losses[:, :, 0].size)
            ends[str(race.over).split(" is ")[0]] += 1
        told = []
        for hits in (same, tied):
            rate = rate_estimate(hits, confidence=0.95)
            interval = "" if rate.low is None else f" ({rate.low:.3f} to {rate.high:.3f})"
            told.append(f"{np.mean(hits):.3f}{interval}")
        size = map(str, losses.shape[:2])
        table.add_row(name, *size, *told, f"{np.mean(shares):.3f}", f"{max(shares):.3f}")
        why = ", ".join(f"{end} ({times})" for end, times in ends.most_common())
        truth = f"; the true best {np.mean(best):.3f}" if bank is None else ""
        console.print(f"{name}: ended as {why}{truth}", highlight=False)
    console.print(table)


if __name__ == "__main__":
    main()
