"""How much slower a stage is than a bare PyTorch loop that does the same steps.

    python benchmarks/overhead.py [epochs=3] [repeats=3] [overrides of train.py ...]

Both train the same modules on the same batches with the same fused Adam, validate after every
epoch and copy the best weights, for equal epochs on one thread, in turn. Ratios are medians.
The machine should be idle otherwise.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import hydra
import torch
from rich.console import Console

from msnas.data.events import Events
from msnas.data.module import ShuffledBlocks, batches
from msnas.methods.method import SearchMethod
from msnas.parts import Parts
from msnas.pipeline import ready_parts
from msnas.plan import make_plan
from msnas.selection import pretrain
from msnas.training.posttraining import Posttraining
from msnas.training.pretraining import Pretraining
from msnas.training.progress import Display
from msnas.training.stage_module import StageModule

PATH = ("cnn", "lstm")
CONF = str(Path(__file__).resolve().parents[1] / "conf")


def bare_loop(module: StageModule, events: Events, *, epochs: int, batch: int) -> None:
    """Train `module` without Lightning."""
    optimizer = module.make_optimizers()[0]
    module.manual_backward = lambda loss: loss.backward()  # type: ignore[method-assign]
    train, valid = (
        {name: value for name, value in part.items() if name in module.reads()}
        for part in (events.train, events.valid)
    )
    best = float("inf")
    for epoch in range(epochs):
        module.train()
        module.generator.manual_seed(epoch)
        generator = torch.Generator().manual_seed(epoch)
        for block in ShuffledBlocks(train, batch=batch, generator=lambda given=generator: given):
            for events_of_step, _ in block:
                optimizer.zero_grad(set_to_none=True)
                module.descend(events_of_step)
                optimizer.step()
        module.eval()
        with torch.no_grad():
            total = 0.0
            for part in batches(valid, 500):
                total += float(module.validate_batch(part)["loss"]) * len(next(iter(part.values())))
        if total < best:
            best = total
            {name: value.detach().clone() for name, value in module.weights().items()}


def search_of(parts: Parts) -> StageModule:
    """The training of the super-network."""
    fit = parts.fit
    assert isinstance(parts.method, SearchMethod)
    return parts.method.search(
        chain=parts.chain,
        weighting=fit.fresh_weighting(),
        optimizer=fit.optimizer,
        seed=fit.method_seed,
    )


def bare_stages(parts: Parts) -> dict[str, Callable[[], None]]:
    """The three stages as bare loops, on a chain of their own."""
    recipe, chain, optimizer = parts.plan.config["recipe"], parts.chain, parts.fit.optimizer
    search = search_of(parts)
    posttraining = Posttraining(
        chain=chain.only(PATH), weighting=parts.fit.weighting, optimizer=optimizer, seed=0
    )

    def fit(module: StageModule, stage: str) -> None:
        settings = recipe[stage]
        bare_loop(module, parts.events, epochs=settings["epochs"], batch=settings["batch"])

    def pretrain() -> None:
        for level, names in enumerate(chain.names()):
            for name in names:
                module = Pretraining(
                    chain=chain, level=level, name=name, optimizer=optimizer, seed=0
                )
                fit(module, "pretrain")

    return {
        "pretrain": pretrain,
        "search": lambda: fit(search, "search"),
        "posttrain": lambda: fit(posttraining, "posttrain"),
    }


def measure(overrides: list[str], *, epochs: int) -> dict[str, tuple[float, float]]:
    """Seconds of each stage with the pipeline, and as a bare loop."""
    stages = [f"recipe.{stage}" for stage in ("pretrain", "search", "posttrain")]
    with tempfile.TemporaryDirectory() as folder:
        with hydra.initialize_config_dir(CONF, version_base="1.3"):
            cfg = hydra.compose(
                "config",
                [
                    "logger=none",
                    "recipe=paper",
                    "frame=detector",
                    "trainer=cpu",
                    f"output={folder}",
                    *(f"{stage}.epochs={epochs}" for stage in stages),
                    *(f"{stage}.patience=1000" for stage in stages),
                    *overrides,
                ],
            )
        plan = make_plan(cfg)
        parts, others = (ready_parts(plan, Display(Console(quiet=True))) for _ in range(2))
        chain, fit = parts.chain, parts.fit
        bare = bare_stages(others)
        seconds = {}
        start = time.perf_counter()
        pretrain(parts)
        seconds["pretrain"] = time.perf_counter() - start
        start = time.perf_counter()
        fit.search(chain, search_of(parts))
        seconds["search"] = time.perf_counter() - start
        start = time.perf_counter()
        parts.method.finish(chain, PATH, fit)
        seconds["posttrain"] = time.perf_counter() - start
        result = {}
        for stage, run in bare.items():
            start = time.perf_counter()
            run()
            result[stage] = (seconds[stage], time.perf_counter() - start)
        return result


def main() -> None:
    """Print the table."""
    words = dict(
        word.split("=", 1) for word in sys.argv[1:] if word.startswith(("epochs=", "repeats="))
    )
    overrides = [word for word in sys.argv[1:] if not word.startswith(("epochs=", "repeats="))]
    runs = [
        measure(overrides, epochs=int(words.get("epochs", 3)))
        for _ in range(int(words.get("repeats", 3)))
    ]
    console = Console()
    for stage in runs[0]:
        ratios = [run[stage][0] / run[stage][1] for run in runs]
        pipeline, bare = (statistics.median(run[stage][side] for run in runs) for side in (0, 1))
        console.print(
            f"{stage:10} pipeline {pipeline:6.2f} s  bare loop {bare:6.2f} s  "
            f"ratio median {statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})"
        )


if __name__ == "__main__":
    main()
