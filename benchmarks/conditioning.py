"""Cost of a conditioned training step (FiLM and drawn parameters) against a plain one.

    python benchmarks/conditioning.py [steps=100] [repeats=5] [overrides of train.py ...]

Chains of `htautau`, one thread, batches of the recipe; both kinds alternate, medians of seconds
per step and their ratio.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import hydra
from rich.console import Console
from rich.table import Table

from msnas.chain.chain import Chain
from msnas.conditioning.conditioning import Conditioning
from msnas.data.module import StageData
from msnas.parts import Parts
from msnas.pipeline import ready_parts
from msnas.plan import make_plan
from msnas.training.progress import Display

CONF = str(Path(__file__).resolve().parents[1] / "conf")
YOTO = ("conditioning=yoto", "conditioning.parameters=[task_weight]")


def parts_of(folder: str, overrides: list[str]) -> Parts:
    """Parts with fresh weights, conditioned if the overrides say so."""
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        cfg = hydra.compose(
            "config",
            ["trainer=cpu", "logger=none", "data.events=2000", f"output={folder}", *overrides],
        )
    plan = make_plan(cfg)
    parts = ready_parts(plan, Display(Console(quiet=True)))
    parts.condition()
    return parts


def seconds_per_step(
    parts: Parts, chain: Chain, steps: int, conditioning: Conditioning | None
) -> float:
    """Draw a batch's conditions, forward, backward and optimiser step."""
    (path,) = chain.paths()
    data = StageData(
        parts.events,
        reads=chain.reads(),
        paired=False,
        batch=parts.plan.config["recipe"]["posttrain"]["batch"],
        evaluation_batch=500,
        seed=0,
        conditioning=conditioning,
    )
    data.trainer = type("Epoch", (), {"current_epoch": 0})()  # type: ignore[assignment]
    optimizer = parts.fit.optimizer(list(chain.parameters()))
    chain.train()
    batches = (batch for block in cycle(data.train_dataloader()) for batch, _ in block)
    start = time.perf_counter()
    for batch in islice(batches, steps):
        optimizer.zero_grad(set_to_none=True)
        losses = chain.losses(chain.run(batch, path), batch)
        parts.fit.weighting.combine(losses).backward()
        optimizer.step()
    return (time.perf_counter() - start) / steps


def main() -> None:
    """Print the table."""
    numbers = {"steps": 100, "repeats": 5}
    overrides = []
    for word in sys.argv[1:]:
        key, _, value = word.partition("=")
        if key in numbers:
            numbers[key] = int(value)
        else:
            overrides.append(word)
    table = Table("chain", "plain [ms]", "conditioned [ms]", "ratio (min-max)")
    with tempfile.TemporaryDirectory() as folder:
        plain = parts_of(folder, overrides)
        conditioned = parts_of(folder, [*YOTO, *overrides])
        for path in plain.chain.paths():
            kinds = (plain, conditioned)
            chains = [parts.chain.only(path) for parts in kinds]
            times: list[list[float]] = [[], []]
            for repeat in range(numbers["repeats"] + 1):
                for index, (parts, chain) in enumerate(zip(kinds, chains, strict=True)):
                    taken = seconds_per_step(parts, chain, numbers["steps"], parts.conditioning)
                    if repeat:  # the first warms up
                        times[index].append(taken)
            ratios = [after / before for before, after in zip(*times, strict=True)]
            medians = [1000 * statistics.median(one) for one in times]
            table.add_row(
                " -> ".join(path),
                *(f"{one:.2f}" for one in medians),
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
