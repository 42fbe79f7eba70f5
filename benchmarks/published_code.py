"""A whole process of msnas beside one of the paper's published code that does the same steps.

    python benchmarks/published_code.py multiml=<folder> [epochs=3] [repeats=3] [overrides ...]

`<folder>` holds the clones of UTokyo-ICEPP/multiml and UTokyo-ICEPP/multiml_htautau. Both sides
pre-train three candidates of each task, train the super-network (SPOS), rank all nine chains, and
train the chain end to end that msnas has selected: the same scaled events in the same parts,
networks of the same sizes, epochs, batches, learning rate and weights of the losses, validation
after every epoch with restoring of the best weights, in processes of one thread, in turn. msnas
begins with an empty output folder. Ratios are published / msnas, pair by pair, of whole processes;
the machine should be idle otherwise. Overrides are those of train.py.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
import numpy as np
from published_steps import PARTS
from rich.console import Console

from msnas.data.events import Events
from msnas.errors import ConfigError, MsnasError, TrainingError, one_line
from msnas.parts import read_events
from msnas.plan import Plan, make_plan

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("pretrain", "search", "posttrain")
CLONES = {
    "multiml": ("3a851e92b272", "storegate.py"),
    "multiml_htautau": ("6824b72cd86b", "task/loss.py"),
}
"""Clone -> the commit of the measurement in docs, and a file by which the package is known."""

SAME = (
    "problem=htautau",
    "method=spos",
    "candidate/tau_calibration=[mlp,cnn,sf]",
    "candidate/higgs_id=[mlp,lstm,mass]",
    "tasks.tau_calibration.loss.reduction=component_mean",
    "tasks.tau_calibration.validity=null",  # the published steps hold no Gaussian process
    "recipe=paper",
    "frame=detector",
    "trainer=cpu",
    "logger=none",
)


def find_packages(folder: str) -> list[str]:
    """The clones in the folder, from which the packages are imported.

    Raises ConfigError where a clone is missing.
    """
    clones = [Path(folder).resolve() / name for name in CLONES]
    for clone, (commit, file) in zip(clones, CLONES.values(), strict=True):
        if not folder or not (clone / clone.name / file).is_file():
            raise ConfigError(
                f"multiml: found no {clone.name}/{clone.name}/{file} in {folder or 'no folder'!r}, "
                "expected a folder with the clones of the paper's code: there, git clone "
                f"https://github.com/UTokyo-ICEPP/{clone.name} && "
                f"git -C {clone.name} checkout {commit}"
            )
    return [str(clone) for clone in clones]


def write_events(events: Events, path: Path) -> None:
    """The encoded events as the published tasks take them: 8, [2, 3, 16, 16], 6 and 1 numbers."""
    arrays = {}
    for part in PARTS:
        own: Mapping[str, Any] = getattr(events, part)
        count = len(own["label"])
        shapes = {"jet": (8,), "image": own["image"].shape[1:], "tau": (6,), "label": (1,)}
        for name, shape in shapes.items():
            numbers = own[name].numpy().astype(np.float32)
            arrays[f"{part}_{name}"] = numbers.reshape(count, *shape)
    np.savez(path, **arrays)


def plan_of(words: Sequence[str]) -> Plan:
    """The plan of a run with its images as plain tensors."""
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return make_plan(hydra.compose("config", [*words, "data.memory=plain"]))


def steps_of(plan: Plan, *, epochs: int, packages: Sequence[str]) -> dict[str, Any]:
    """What the published process is told."""
    config = plan.config
    return {
        "packages": list(packages),
        "epochs": epochs,
        "lr": config["recipe"]["optimizer"]["lr"],
        "pretrain_batch": config["recipe"]["pretrain"]["batch"],
        "search_batch": config["recipe"]["search"]["batch"],
        "task_weight": plan.weights["tau_calibration"],
        "seed": config["seed"],
    }


def timed(command: Sequence[str | Path], log: Path) -> dict[str, float]:
    """Processor and wall seconds of a process, its children included."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with log.open("w") as out:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise TrainingError(
            f"{command[1]} ended with status {process.returncode}: {log.read_text()[-2000:]}"
        )
    return {"processor": used.ru_utime + used.ru_stime, "wall": wall}


def run_published(steps: Mapping[str, Any], events: Path, folder: Path) -> dict[str, Any]:
    """Seconds of a process of the published code, and what it reached on the test events."""
    folder.mkdir()
    (folder / "steps.json").write_text(json.dumps(steps))
    (folder / "events.npz").symlink_to(events)
    program = ROOT / "benchmarks" / "published_steps.py"
    seconds = timed([sys.executable, program, folder], folder / "log")
    return {**seconds, **json.loads((folder / "result.json").read_text())}


def run_msnas(words: Sequence[str], folder: Path) -> dict[str, Any]:
    """Seconds of a process of msnas, and what it reached on the test events."""
    folder.mkdir()
    command = [sys.executable, ROOT / "train.py", *words, f"output={folder / 'runs'}"]
    seconds = timed(command, folder / "log")
    (path,) = (folder / "runs").glob("*/*/*/result.json")
    result = json.loads(path.read_text())
    numbers = result["metrics"]["test"]
    return {
        **seconds,
        "chain": list(result["selected"].values()),
        "auc": numbers["higgs_id/auc"],
        "mse": numbers["tau_calibration/mse"] / 6,  # of a component, as in the published loss
    }


def told(name: str, run: Mapping[str, Any]) -> str:
    """A process in one line."""
    return (
        f"{name:9} processor {run['processor']:6.1f} s, wall {run['wall']:6.1f} s; test events: "
        f"AUC {run['auc']:.4f}, error of the taus {run['mse']:.4f}; {' -> '.join(run['chain'])}"
    )


def main(arguments: Sequence[str]) -> None:
    """Print a line for each process, and the medians."""
    own = {"multiml": "", "epochs": "3", "repeats": "3"}
    own |= dict(word.split("=", 1) for word in arguments if word.split("=")[0] in own)
    others = [word for word in arguments if word.split("=")[0] not in own]
    packages = find_packages(own["multiml"])
    epochs, console = int(own["epochs"]), Console(highlight=False, soft_wrap=True)
    words = [*SAME, *others]
    for stage in STAGES:
        words += [f"recipe.{stage}.epochs={epochs}", f"recipe.{stage}.patience={epochs}"]
    pairs = []
    with tempfile.TemporaryDirectory() as place:
        plan, events = plan_of(words), Path(place) / "events.npz"
        write_events(read_events(plan), events)
        steps = steps_of(plan, epochs=epochs, packages=packages)
        for repeat in range(int(own["repeats"])):
            ours = run_msnas(words, Path(place) / f"msnas_{repeat}")
            console.print(told("msnas", ours))
            told_steps = {**steps, "chain": ours["chain"]}
            theirs = run_published(told_steps, events, Path(place) / f"published_{repeat}")
            console.print(told("published", theirs))
            pairs.append((theirs, ours))
    for clock in ("processor", "wall"):
        ratios = [theirs[clock] / ours[clock] for theirs, ours in pairs]
        console.print(
            f"{clock:10} published / msnas: median {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f}-{max(ratios):.2f})"
        )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except MsnasError as error:
        sys.exit(one_line(error))
