"""PyTorch and ONNX Runtime side by side, on one core: size, time, largest difference.

    python benchmarks/export.py run=runs/htautau/spos/<key> [data=data/htautau.h5] [repeats=5]

Exports the run to a temporary file and applies both to the same events, in turn: all of a batch of
500, and one by one. Times are medians; reading and checking the file is not counted. The machine
should be idle otherwise.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from msnas.data.event_file import EventFile
from msnas.export.read import load_onnx
from msnas.export.write import write_onnx
from msnas.model import load_model

SIZES = {500: 20, 1: 200}
"""Events at a time, and how many times."""


def main(words: list[str]) -> None:
    """Print the table."""
    given = {"data": "data/htautau.h5", "repeats": "5", **dict(word.split("=") for word in words)}
    torch.set_num_threads(1)
    model = load_model(Path(given["run"]))
    arrays = EventFile(file=given["data"]).load(model.inputs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chain.onnx"
        write_onnx(model, path)
        size = path.stat().st_size
        onnx = load_onnx(path)
    say = Console(width=200, highlight=False).print
    say(f"{model.provenance['selected']}: {size / 1e3:.0f} kB")
    say("| events at a time | PyTorch [events/s] | ONNX Runtime [events/s] | ratio |")
    say("|---|---|---|---|")
    for events, times in SIZES.items():
        few = {name: arrays[name][:events] for name in model.inputs}
        seconds: dict[str, list[float]] = {"torch": [], "onnx": []}
        for _ in range(int(given["repeats"])):
            for name, applied in (("torch", model), ("onnx", onnx)):
                start = time.perf_counter()
                for _ in range(times):
                    applied.predict(few, conditions={}, batch=events)
                seconds[name].append((time.perf_counter() - start) / times)
        rates = [events / statistics.median(one) for one in seconds.values()]
        say(f"| {events} | {rates[0]:,.0f} | {rates[1]:,.0f} | {rates[1] / rates[0]:.1f} |")
    many = {name: arrays[name][:5000] for name in model.inputs}
    one, other = (applied.predict(many, conditions={}, batch=500) for applied in (model, onnx))
    for name, values in one.items():
        largest = np.abs(values - other[name]).max() / np.abs(values).max()
        say(f"largest difference of {name}: {largest:.1e} of the largest output")


if __name__ == "__main__":
    main(sys.argv[1:])
