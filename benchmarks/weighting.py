"""How much a step of each weighting costs, against one of `weighting=fixed`.

    python benchmarks/weighting.py [steps=40] [rounds=7] [path=cnn,lstm] [overrides of train.py ...]

A step of post-training: batch, losses, gradients, optimiser, for `famo` the losses after it. All
weightings take turns on the same batch and the same chain, one thread; ratios of processor time are
medians over the rounds.
"""

from __future__ import annotations

import copy
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import hydra
from omegaconf import DictConfig
from rich.console import Console

from msnas.build import build
from msnas.data.events import Batch
from msnas.errors import ConfigError
from msnas.parts import Parts
from msnas.pipeline import ready_parts
from msnas.plan import make_plan
from msnas.training.posttraining import Posttraining
from msnas.training.progress import Display
from msnas.weighting.weighting import Weighting

CONF = Path(__file__).resolve().parents[1] / "conf"
OWN = ("steps=", "rounds=", "path=")


def compose(overrides: list[str], folder: str) -> DictConfig:
    """The configuration of train.py."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(
            "config", ["logger=none", "trainer=cpu", f"output={folder}", *overrides]
        )


def modules(parts: Parts, path: list[str], overrides: list[str]) -> dict[str, Posttraining]:
    """Post-training of one chain by each weighting of conf/weighting that can weigh it."""
    found = {}
    for name in sorted(file.stem for file in (CONF / "weighting").glob("*.yaml")):
        config = make_plan(compose([*overrides, f"weighting={name}"], "none")).config
        weighting = build(config["weighting"], key="weighting", of=Weighting)
        try:
            weighting.prepare(list(parts.weights.values()))
        except ConfigError as error:  # a package or a third task is missing
            Console().print(f"{name}: {error}", markup=False)
            continue
        module = Posttraining(
            chain=copy.deepcopy(parts.chain.only(tuple(path))),
            weighting=weighting,
            optimizer=parts.fit.optimizer,
            seed=0,
        )
        module.manual_backward = lambda loss: loss.backward()  # type: ignore[method-assign]
        found[name] = module
    return found


def seconds_of(module: Posttraining, batch: Batch, *, steps: int) -> float:
    """Processor seconds of one step."""
    optimizer = module.make_optimizers()[0]
    start = 0.0
    for step in range(steps + 2):
        if step == 2:
            start = time.process_time()
        optimizer.zero_grad(set_to_none=True)
        module.descend(batch)
        optimizer.step()
        if module.weighting.looks_back:
            module.weighting.look_back(partial(module.descend, batch))
    return (time.process_time() - start) / steps


def main() -> None:
    """Print the table."""
    words = dict(word.split("=", 1) for word in sys.argv[1:] if word.startswith(OWN))
    overrides = [word for word in sys.argv[1:] if not word.startswith(OWN)]
    with tempfile.TemporaryDirectory() as folder:
        plan = make_plan(compose(overrides, folder))
        parts = ready_parts(plan, Display(Console(quiet=True)))
        ones = modules(parts, words.get("path", "cnn,lstm").split(","), overrides)
        size = plan.config["recipe"]["posttrain"]["batch"]
        batch = {name: value[:size] for name, value in parts.events.train.items()}
        rounds = [
            {
                name: seconds_of(one, batch, steps=int(words.get("steps", 40)))
                for name, one in ones.items()
            }
            for _ in range(int(words.get("rounds", 7)))
        ]
    console = Console()
    for name in ones:
        ratios = [each[name] / each["fixed"] for each in rounds]
        step = statistics.median(each[name] for each in rounds)
        console.print(
            f"{name:12} {1e3 * step:7.2f} ms a step, ratio median {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f}-{max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
