"""A run on a graphics card and on the processor, and a scan whose processes share the card.

    python benchmarks/gpu.py [device=gpu] [processes=1,4] [seeds=4] [weights=0,0.001,...,1]
                             [overrides of train.py ...]

The run is `python train.py`, SPOS on `htautau`, from an empty store: seconds of each stage, of the
whole process, and the validation loss on both devices. The scan, for each number of processes, is
`python sweep.py` of nine values of v1 times `seeds`, each time from an empty store. The machine
should be idle otherwise. With device=cpu all of it is done on the processor.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
WORDS = {
    "device": "gpu",
    "processes": "1,4",
    "seeds": "4",
    "weights": "0,0.001,0.01,0.1,0.5,0.9,0.99,0.999,1",
}


def timed(script: str, *overrides: str) -> tuple[float, list[dict[str, Any]]]:
    """Seconds of a command in a folder of its own, and the results of its runs."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, str(ROOT / script), "logger=none", *overrides]
        start = time.perf_counter()
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        if done.returncode:
            sys.exit(f"error: {' '.join(words)}\n{done.stdout}{done.stderr}")
        paths = sorted(Path(folder).glob("runs/*/*/*/result.json"))
        return seconds, [json.loads(path.read_text()) for path in paths]


def main() -> None:
    """Print a line for the run on each device, and a line for each scan."""
    given = dict(one.split("=", 1) for one in sys.argv[1:] if one.split("=")[0] in WORDS)
    overrides = [one for one in sys.argv[1:] if one.split("=")[0] not in WORDS]
    words = {**WORDS, **given}
    device = words["device"]
    if device not in ("gpu", "cpu"):
        sys.exit(f"error: device: expected gpu or cpu, found {device!r}")
    if device == "gpu" and not torch.cuda.is_available():
        sys.exit("error: device=gpu: PyTorch sees no graphics card; device=cpu does without")
    console = Console()
    if device == "gpu":
        console.print(torch.cuda.get_device_name())
    for on in dict.fromkeys((device, "cpu")):
        seconds, (result,) = timed("train.py", f"trainer={on}", *overrides)
        stages = ", ".join(f"{name} {one['seconds']:.1f}" for name, one in result["stages"].items())
        loss = result["metrics"]["valid"]["loss"]
        console.print(f"run on {on}: {seconds:.1f} s ({stages}), validation loss {loss:.4f}")
    for count in words["processes"].split(","):
        seconds, results = timed(
            "sweep.py",
            "report=false",
            f"trainer={device}",
            f"task_weight={words['weights']}",
            f"seed=range(0,{words['seeds']})",
            f"hydra.launcher.n_jobs={count}",
            *overrides,
        )
        console.print(
            f"scan on {device} by {count} processes: {len(results)} runs, {seconds:.1f} s, "
            f"{seconds / len(results):.2f} s a run"
        )


if __name__ == "__main__":
    main()
