"""Peak memory and the time to the first training batch of many events, in each `data.memory`.

    python benchmarks/memory.py [events=300000] [memories=auto,plain] [overrides of train.py ...]

The events of `data/htautau.h5` again and again, in a temporary file of the same chunks. Each memory
has a process of its own. `peak` is the most memory it had at once, `grown` what the events take in
the end, without what PyTorch takes; both hold pages of files that a mapped array has been read
from, which the system takes back when it needs them. `batch` is a checksum of the first block.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py
import hydra
import torch

from msnas.data.module import ShuffledBlocks
from msnas.parts import read_events
from msnas.plan import make_plan

ROOT = Path(__file__).resolve().parents[1]
GIGABYTE = 1e9


def write_tiled(path: Path, events: int) -> None:
    """So many events, whole chunks of the embedded file in turn, as they are stored."""
    with h5py.File(ROOT / "data" / "htautau.h5") as few, h5py.File(path, "w") as many:
        for name in ("jet", "image", "tau", "label"):
            one = few[name]
            length = one.chunks[0]
            whole = len(one) // length
            made = many.create_dataset(
                name,
                shape=(events, *one.shape[1:]),
                dtype=one.dtype,
                chunks=one.chunks,
                compression=one.compression,
                compression_opts=one.compression_opts,
                shuffle=one.shuffle,
            )
            zeros = (0,) * (one.ndim - 1)
            for number in range(-(-events // length)):
                mask, stored = one.id.read_direct_chunk((number % whole * length, *zeros))
                made.id.write_direct_chunk((number * length, *zeros), stored, mask)


def measure(words: list[str]) -> dict[str, Any]:
    """One process's numbers."""
    torch.set_num_threads(1)
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        plan = make_plan(hydra.compose("config", ["trainer=cpu", "data.events=all", *words]))
    before, start, processor = resident(), time.perf_counter(), time.process_time()
    events = read_events(plan)
    generator = torch.Generator().manual_seed(0)
    batch = plan.config["recipe"]["search"]["batch"]
    block = next(iter(ShuffledBlocks(events.train, batch=batch, generator=lambda: generator)))
    checksum = hashlib.sha256()
    for step, _ in block:
        for name in sorted(step):
            checksum.update(step[name].numpy().tobytes())
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "processor": round(time.process_time() - processor, 1),
        "peak": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIGABYTE, 2),
        "grown": round((resident() - before) / GIGABYTE, 2),
        "batch": checksum.hexdigest()[:8],
    }


def resident() -> int:
    """Bytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def main(arguments: list[str]) -> None:
    """Print a line for each memory."""
    given = dict(word.split("=", 1) for word in arguments)
    events = int(given.pop("events", 300_000))
    memories = given.pop("memories", "auto,plain").split(",")
    words = [f"{key}={value}" for key, value in given.items()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "many.h5"
        write_tiled(path, events)
        for memory in memories:
            chosen = [f"data.file={path}", f"data.memory={memory}", *words]
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                told = {"events": events, "memory": memory, **pool.apply(measure, (chosen,))}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
