"""How often a search chooses grid search's chain, or another within its noise.

    python benchmarks/choices.py [seeds=20] [overrides of train.py ...]

By default `method=darts`. For every seed a grid search trains all chains from the same pre-trained
candidates: on validation events its best chain is the reference. *Regret* is what the chosen
chain's own training loses to it in the weighted loss; its *error* the standard error of the
difference, paired by event; within noise is a regret up to two errors. Runs that are finished
already are not repeated.
"""

from __future__ import annotations

import sys
from pathlib import Path

import hydra
import numpy as np
from rich.console import Console
from rich.table import Table

from msnas.plan import make_plan
from msnas.results.losses import read_losses
from msnas.results.result import Result
from msnas.results.statistics import rate_estimate
from msnas.run import run

CONF = str(Path(__file__).resolve().parents[1] / "conf")


def result_of(words: list[str]) -> Result:
    """Of a run, done now or before."""
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        cfg = hydra.compose("config", ["trainer=cpu", "logger=none", *words])
    run(cfg, console=Console(quiet=True))
    return Result.read(make_plan(cfg).directory)


def main() -> None:
    """Print a line for each seed, and how often the choice was right."""
    words, seeds = [], 20
    for word in sys.argv[1:]:
        key, _, value = word.partition("=")
        if key == "seeds":
            seeds = int(value)
        else:
            words.append(word)
    method = [word for word in words if word.startswith("method")] or ["method=darts"]
    shared = [word for word in words if not word.startswith("method")]
    console = Console()
    table = Table("seed", "chosen", "grid search", "regret", "error", "within noise")
    same, within, regrets, floor = [], [], [], []
    for seed in range(seeds):
        grid = read_losses(result_of([*shared, "method=grid_search", f"seed={seed}"])).ranked
        found = result_of([*shared, *method, f"seed={seed}"])
        best = min(grid, key=lambda path: grid[path].mean())
        losses = grid[found.path] - grid[best]
        error = float(losses.std(ddof=1) / np.sqrt(losses.size))
        same.append(found.path == best)
        within.append(bool(losses.mean() <= 2 * error))
        regrets.append(float(losses.mean()))
        floor.append(float(np.mean([one.mean() - grid[best].mean() for one in grid.values()])))
        numbers = (f"{value:.4f}" for value in (regrets[-1], error))
        told = "yes" if within[-1] else "no"
        table.add_row(str(seed), found.chain, "-".join(best), *numbers, told)
    console.print(table)
    for name, hits in (("grid search's chain", same), ("within its noise", within)):
        rate = rate_estimate(hits, confidence=0.95)
        interval = "" if rate.low is None else f" (95 %: {rate.low:.2f} to {rate.high:.2f})"
        console.print(f"{name}: {sum(hits)} of {seeds}{interval}")
    console.print(f"mean regret {np.mean(regrets):.4f}; of a random chain {np.mean(floor):.4f}")


if __name__ == "__main__":
    main()
