"""Seconds and peak memory of a report of many runs, and of a scan that finds them finished.

    python benchmarks/reports.py [count=500] [overrides of train.py ...]

One small run of `toy` is trained; the others are its copies, each with the key, the configuration
and the task weights of a run of its own: 20 values of v1, and as many seeds as are needed. Report
and scan are processes of their own. The machine should be idle otherwise.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from shutil import copyfile

import h5py
from rich.console import Console

from msnas.results.result import Result
from msnas.run_directory import RunDirectory
from msnas.scan.compose import Composer
from msnas.scan.find import find_scan
from msnas.scan.work import RunWork

ROOT = Path(__file__).resolve().parents[1]
SMALL = [
    *("problem=toy", "method=grid_search", "trainer=cpu", "logger=none", "data.events=2000"),
    *(f"recipe.{stage}.epochs=2" for stage in ("pretrain", "search", "posttrain")),
]


def write_copy(first: Path, work: RunWork) -> None:
    """What the run in the directory `first` wrote, as the run that a scan asks for."""
    plan, run = work.plan, RunDirectory(work.plan.directory)
    plan.directory.mkdir(parents=True)
    for path in first.iterdir():
        copyfile(path, plan.directory / path.name)
    for path in plan.directory.glob("*.h5"):
        with h5py.File(path, "r+") as file:
            file.attrs["key"] = plan.key
    run.write_config(plan.config)
    own = {"key": plan.key, "seed": plan.config["seed"], "task_weights": plan.weights}
    run.write_result({**Result.read(first).to_json(), **own})


def measured(words: list[str], *, where: Path) -> str:
    """Seconds, processor seconds and peak memory of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *words], cwd=where, stdout=subprocess.DEVNULL, env=os.environ
    )
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"error: {' '.join(words)} failed")
    memory = used.ru_maxrss * 1024 / 1e9
    return f"{seconds:.1f} s, {used.ru_utime + used.ru_stime:.1f} s of processor, {memory:.2f} GB"


def main(arguments: list[str]) -> None:
    """Print a line for the scan and a line for the report."""
    given = [word for word in arguments if word.startswith("count=")]
    count = int(given[-1].removeprefix("count=")) if given else 500
    overrides = [*SMALL, *(word for word in arguments if word not in given)]
    weights = ",".join(f"{one / 20:g}" for one in range(min(count, 20)))
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        overrides.append(f"output={folder}/runs")
        axes = [*overrides, f"task_weight={weights}", f"seed=range(0,{-(-count // 20)})"]
        train = [str(ROOT / "train.py"), *overrides, f"output={folder}/first"]
        measured(train, where=ROOT)
        (first,) = Path(folder, "first").glob("toy/*/*/result.json")
        composer = Composer([str(ROOT / "conf")], "config")
        nothing: dict[str, str] = {}
        works, _ = find_scan(
            axes,
            params=nothing,
            parts=[],
            default_params=nothing,
            composer=composer,
            elsewhere=False,
        )
        for work in works:
            write_copy(first.parent, work)
        scan = [str(ROOT / "sweep.py"), *axes, "report=false", "scan.name=reports"]
        console.print(f"scan of {len(works)} finished runs: {measured(scan, where=Path(folder))}")
        report = ["-m", "msnas.report", f"runs={folder}/runs", "out=report"]
        told = measured(report, where=Path(folder))
        page = Path(folder, "report", "index.html").stat().st_size / 1e6
        console.print(f"report of {len(works)} runs: {told}, page {page:.1f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
