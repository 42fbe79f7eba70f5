"""`sweep.py` in a process group of its own, whose workers can be found and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from killable_run import python
from same_numbers import tensor_bytes, without_volatile

from msnas.locks import file_lock

ROOT = Path(__file__).resolve().parents[1]


TOY = (
    "problem=toy",
    "trainer=cpu",
    "logger=none",
    "report=false",
    "data.source.events=2000",
    "candidate/toy_regression=[plane,line]",
    "candidate/toy_classification=[logistic,cautious]",
)


def begin(folder: Path, *overrides: str, script: str = "sweep.py") -> subprocess.Popen[str]:
    """Start it in `folder`; what it says goes to the file `said` there."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "said").open("a") as said:
        return subprocess.Popen(
            [sys.executable, str(ROOT / script), *overrides],
            stdout=said,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env={**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )


def end(process: subprocess.Popen[str], *, seconds: float = 240) -> int:
    """Its exit status; a process that does not end in time is killed with all of its own."""
    try:
        return process.wait(seconds)
    finally:
        kill_all(process)


def sweep(folder: Path, *overrides: str, script: str = "sweep.py") -> int:
    """All of it, in a process that need not import PyTorch; its exit status."""
    folder.mkdir(parents=True, exist_ok=True)
    done = python(str(ROOT / script), *overrides, folder=folder, environment={"COLUMNS": "200"})
    with (folder / "said").open("a") as file:
        file.write(done.stdout + done.stderr)
    return done.returncode


def kill_all(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def session(process: subprocess.Popen[str]) -> dict[int, str]:
    """What is left of it and of all it has started: the command lines by process."""
    found: dict[int, str] = {}
    for place in Path("/proc").iterdir():
        try:
            state, _, _, leader = (place / "stat").read_text().rpartition(")")[2].split()[:4]
            if place.name.isdigit() and int(leader) == process.pid and state not in ("Z", "X"):
                found[int(place.name)] = (place / "cmdline").read_text().replace("\0", " ")
        except (OSError, ValueError):
            continue
    return found


def said(folder: Path) -> str:
    return (folder / "said").read_text()


def wait_for(condition: Callable[[], Any], *, seconds: float = 120) -> Any:
    since = time.monotonic()
    while time.monotonic() - since < seconds:
        if found := condition():
            return found
        time.sleep(0.02)
    raise TimeoutError(f"not within {seconds} s: {condition}")


def workers(folder: Path) -> dict[int, Path]:
    """Processes that are doing a run below `folder`, by the run's lock they hold open."""
    found: dict[int, Path] = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            opened = [os.readlink(one) for one in (process / "fd").iterdir()]
        except OSError:
            continue
        for one in opened:
            path = Path(one)
            if path.suffix == ".lock" and path.parents[2] == folder / "runs":
                directory = path.with_suffix("")
                if directory.parents[1].name != "cache" and directory.is_dir():
                    found[int(process.name)] = directory
    return found


@contextmanager
def held_back(folder: Path, serial: Path, stage: str = "posttrain") -> Iterator[None]:
    """No run of the scan in `folder` gets past `stage`, whose trainings are those of `serial`."""
    cache = folder / "runs" / "cache" / stage
    cache.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        for entry in sorted((serial / "runs" / "cache" / stage).glob("*/")):
            held.enter_context(file_lock(cache / f"{entry.name}.lock", what="testing"))
        yield


def searches(folder: Path) -> bool:
    """Whether a search of the scan has come to its second epoch, or further."""
    return any(folder.glob("runs/cache/search/*/record.json"))


def kill_a_worker(folder: Path, *, other_than: int, number: signal.Signals) -> Path:
    """Kill a worker in the middle of its run; the run it was doing."""

    def searching() -> tuple[int, Path] | None:
        if not searches(folder):
            return None
        return next(((p, d) for p, d in workers(folder).items() if p != other_than), None)

    pid, directory = wait_for(searching)
    os.kill(pid, number)
    wait_for(lambda: pid not in workers(folder))
    return Path(directory)


def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(one.read_text()) for one in sorted(folder.glob("runs/toy/*/*/result.json"))]


def numbers(folder: Path) -> dict[str, Any]:
    """Everything that must not depend on interruptions, of all runs and trainings."""
    found: dict[str, Any] = {}
    for directory in sorted(folder.glob("runs/toy/*/*/")):
        lines = (directory / "history.jsonl").read_text().splitlines()
        found[directory.name] = {
            "result": without_volatile(json.loads((directory / "result.json").read_text())),
            "history": [without_volatile(json.loads(line)) for line in lines],
            "model": tensor_bytes(directory / "model.ckpt"),
        }
    for path in sorted(folder.glob("runs/cache/*/*/weights.pt")):
        found[path.parent.relative_to(folder).as_posix()] = tensor_bytes(path)
    return found
