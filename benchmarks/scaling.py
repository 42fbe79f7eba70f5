"""Time against the number of candidates per task, with fitted power laws (paper, Fig. 7a).

    python benchmarks/scaling.py [copies=2,4,8] [methods=spos,asng,darts,grid_search]
                                 [overrides of train.py ...]

The three candidates of each task are copied, so 6, 12 and 24 candidates per task; 2,000 events,
2 epochs a stage, an empty cache, one thread. Times are the processor's seconds of the stages and
of the ranking, so neither start-up nor other work on the machine is in them. `grid_search` trains
every chain: 576 at 8 copies.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import hydra
import numpy as np
from rich.console import Console

from msnas.pipeline import ready_parts
from msnas.plan import make_plan
from msnas.selection import pretrain
from msnas.training.progress import Display

CONF = str(Path(__file__).resolve().parents[1] / "conf")


def stage_seconds(method: str, copies: int, overrides: list[str]) -> dict[str, float]:
    """Processor seconds of each stage of one run."""
    with tempfile.TemporaryDirectory() as folder:
        with hydra.initialize_config_dir(CONF, version_base="1.3"):
            cfg = hydra.compose(
                "config",
                [
                    f"method={method}",
                    "trainer=cpu",
                    "logger=none",
                    "recipe=paper",
                    "frame=detector",
                    "candidate/higgs_id=[mlp,lstm,mass]",
                    "data.events=2000",
                    f"candidate_copies={copies}",
                    f"output={folder}",
                    *(f"recipe.{stage}.epochs=2" for stage in ("pretrain", "search", "posttrain")),
                    *overrides,
                ],
            )
        plan = make_plan(cfg)
        parts = ready_parts(plan, Display(Console(quiet=True)))
        seconds = {}
        for stage, run in (
            ("pretrain", lambda: pretrain(parts)),
            ("search", lambda: parts.method.choose(parts.chain, parts.fit, parts.scoring)),
        ):
            start = time.process_time()
            answer = run()
            seconds[stage] = time.process_time() - start
        start = time.process_time()
        parts.method.finish(parts.chain, answer.path, parts.fit)  # type: ignore[union-attr]
        seconds["posttrain"] = time.process_time() - start
        seconds["total"] = sum(seconds.values())
        return seconds


def main() -> None:
    """Print the table, one line a method and number of copies, and the exponents."""
    words = {"copies": "2,4,8", "methods": "spos,asng,darts,grid_search"}
    overrides = []
    for word in sys.argv[1:]:
        key, _, value = word.partition("=")
        if key in words:
            words[key] = value
        else:
            overrides.append(word)
    copies = [int(one) for one in words["copies"].split(",")]
    console = Console()
    for method in words["methods"].split(","):
        measured = []
        for count in copies:
            measured.append(stage_seconds(method, count, overrides))
            numbers = json.dumps({name: round(value, 2) for name, value in measured[-1].items()})
            console.print(f"{method} {3 * count} candidates per task: {numbers}")
        for stage in ("search", "total"):
            times = [one[stage] for one in measured]
            exponent = np.polyfit(np.log(copies), np.log(times), 1)[0]
            console.print(f"{method} {stage}: seconds grow as candidates^{exponent:.2f}")


if __name__ == "__main__":
    main()
