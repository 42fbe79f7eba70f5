"""A run, a step and a scan on a graphics card, and on the processor.

    python benchmarks/gpu.py [device=gpu] [processes=1,4] [seeds=4] [weights=0,0.001,...,1]
                             [overrides of train.py ...]

The run is `python train.py`, SPOS on `htautau`, from an empty store: seconds of each stage, of the
whole process, and the validation loss on both devices. The step is one of post-training of the
problem's reference chain, as it is and, on a card, as a CUDA graph, which is recorded once and
then repeated without Python. The scan, for each number of processes, is
`python sweep.py` of nine values of v1 times `seeds`, each time from an empty store. The machine
should be idle otherwise. With device=cpu all of it is done on the processor.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import torch
from rich.console import Console

from msnas.pipeline import ready_parts
from msnas.plan import make_plan
from msnas.training.progress import Display

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


def milliseconds(step: Callable[[], object], device: str, *, count: int = 200) -> float:
    """Of one of `count` steps, after some that are not counted."""
    seconds = 0.0
    for steps in (10, count):
        start = time.perf_counter()
        for _ in range(steps):
            step()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    return 1000 * seconds / count


def recorded(step: Callable[[], object]) -> Callable[[], object]:
    """The step as a CUDA graph; it repeats what the step does to the same memory."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):  # what is set up once is not recorded
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def steps(device: str, overrides: list[str]) -> str:
    """What a step of post-training takes on a device."""
    with (
        tempfile.TemporaryDirectory() as folder,
        hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"),
    ):
        words = [f"trainer={'gpu' if device == 'cuda' else 'cpu'}", *overrides]
        plan = make_plan(hydra.compose("config", [*words, "logger=none", f"output={folder}"]))
        parts = ready_parts(plan, Display(Console(quiet=True)))
    path = tuple(plan.config["problem"]["reference_chain"])
    chain = parts.chain.only(path).to(device).train()
    size = plan.config["recipe"]["posttrain"]["batch"]
    batch = {name: value[:size].to(device) for name, value in parts.events.train.items()}
    optimizer = torch.optim.Adam(chain.parameters(), lr=1e-3, capturable=device == "cuda")

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.stack(chain.losses(chain.run(batch, path), batch)).sum().backward()
        optimizer.step()

    told = f"step of {'-'.join(path)} on {device}: {milliseconds(step, device):.2f} ms"
    if device == "cuda":
        told += f", as a graph {milliseconds(recorded(step), device):.2f} ms"
    return told


def main() -> None:
    """Print a line for the run and the step on each device, and a line for each scan."""
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
        console.print(steps("cuda" if on == "gpu" else on, overrides))
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
