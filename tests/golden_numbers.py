"""The numbers of a run that a rewriting must not change, and how two sets of them are compared.

No path, key, version or time is among them.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from same_numbers import without_volatile

OF_RESULT = (
    *("task_weights", "selected", "metrics", "chains", "probabilities"),
    *("point", "conditions", "winners", "parameters"),
)
"""What is kept of result.json, where it is there; of `data` the counts."""

NUMERIC = ("torch", "numpy", "scipy", "gpytorch", "linear-operator", "torchjd")
"""Packages whose version may change the last digit of a number."""

VOLATILE_COLUMNS = ("key", "directory", "data", "seconds", "versions")
"""Columns of a report's files that are no numbers of a run, with all below them."""

Numbers = dict[str, Any]


def fingerprint() -> dict[str, str]:
    """What decides the last digit of a number besides the code."""
    cpu = {"vendor_id": "", "cpu family": "", "model": "", "flags": ""}
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            key, _, value = (part.strip() for part in line.partition(":"))
            cpu[key] = cpu.get(key) or value
    vector = [one for one in cpu["flags"].split() if one.startswith(("avx", "fma", "amx"))]
    return {
        **{name: version(name) for name in NUMERIC},
        "machine": platform.machine(),
        "cpu": " ".join(cpu[key] for key in ("vendor_id", "cpu family", "model")).strip(),
        "vector instructions": " ".join(sorted(vector)),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
    }


def numbers_of_run(directory: Path) -> Numbers:
    """The numbers of a finished run, from the files of its directory.

    With those of its judge of validity, which is in the store alone: of all that are there.
    """
    result = json.loads((directory / "result.json").read_text())
    lines = (directory / "history.jsonl").read_text().splitlines()
    model = torch.load(directory / "model.ckpt", weights_only=True)
    judges = sorted(directory.parents[2].glob("cache/validity/*/weights.pt"))
    numbers = {
        **{key: result[key] for key in OF_RESULT if key in result},
        "data": {key: result["data"][key] for key in ("events", "classes")},
        "history": without_volatile([json.loads(line) for line in lines]),
        "scales": model["scales"],
        "weights": _summary(_tensors(model["weights"])),
        "judges": [_summary(_tensors(torch.load(one, weights_only=True))) for one in judges],
        "outputs": _summary(_arrays(directory / "outputs.h5")),
    }
    return as_kept(numbers)


def numbers_of_report(folder: Path) -> Numbers:
    """The rows of results.csv and of all tables, and the names of the figures."""
    tables = {path.stem: _rows(path) for path in sorted(folder.glob("tables/*.csv"))}
    figures = sorted(path.name for path in folder.glob("figures/*.p[nd][gf]"))
    return as_kept({"results": _rows(folder / "results.csv"), "tables": tables, "figures": figures})


def as_kept(numbers: Numbers) -> Numbers:
    """The same as a file of JSON gives it back: every number in full precision."""
    kept: Numbers = json.loads(json.dumps(numbers))
    return kept


def as_text(value: Any, indent: str = "\n") -> str:
    """JSON with a line for each innermost list or mapping: a chain, an epoch, a tensor."""
    within = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(value, dict | list) or not any(isinstance(v, dict | list) for v in within):
        return json.dumps(value)
    texts = [as_text(item, indent + " ") for item in within]
    if isinstance(value, dict):
        texts = [f"{json.dumps(key)}: {text}" for key, text in zip(value, texts, strict=True)]
    inner = f",{indent} ".join(texts)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}{indent} {inner}{indent}{closing}"


def differences(found: Any, golden: Any, *, exact: bool, where: str = "") -> list[str]:
    """One line for each place where `found` is not as `golden`; none if they are equal.

    With `exact` every bit counts. Without, numbers may differ by what rounding explains, hashes of
    bytes are left out, and of chains that are ranked the order.
    """
    if not exact and where.endswith(".sha256"):
        return []
    if isinstance(golden, dict) and isinstance(found, dict):
        lines = [f"{where}.{key}: not expected" for key in found.keys() - golden.keys()]
        for key, value in golden.items():
            if key not in found:
                lines.append(f"{where}.{key}: missing")
            else:
                lines += differences(found[key], value, exact=exact, where=f"{where}.{key}")
        return lines
    if isinstance(golden, list) and isinstance(found, list) and len(golden) == len(found):
        if not exact and where == ".chains":
            found, golden = (sorted(chains, key=_chain) for chains in (found, golden))
        return [
            line
            for place, (mine, its) in enumerate(zip(found, golden, strict=True))
            for line in differences(mine, its, exact=exact, where=f"{where}[{place}]")
        ]
    if _equal(found, golden) or (not exact and _near(found, golden, where)):
        return []
    return [f"{where}: expected {_short(golden)}, found {_short(found)}"]


def _equal(found: Any, golden: Any) -> bool:
    if isinstance(found, float) and isinstance(golden, float) and math.isnan(golden):
        return math.isnan(found)
    return type(found) is type(golden) and found == golden


def _near(found: Any, golden: Any, where: str) -> bool:
    if not (isinstance(found, float) and isinstance(golden, float)):
        return False
    relative, absolute = _tolerance(where)
    return math.isclose(found, golden, rel_tol=relative, abs_tol=absolute)


def _tolerance(where: str) -> tuple[float, float]:
    """Relative and absolute: what is counted in events moves by whole events."""
    if any(word in where.lower() for word in ("auc", "accuracy", "confusion", "validity")):
        return 0.0, 0.05
    if where.startswith((".weights", ".judges", ".outputs")):
        return 1e-2, 1e-2
    if "gradient" in where:
        return 1e-2, 1e-3
    return 1e-3, 1e-3 if "/bias" in where else 1e-4


def _chain(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    return entry["stage"], *entry["selected"].values()


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _summary(arrays: Mapping[str, np.ndarray]) -> Numbers:
    """A hash of names, types, shapes and bytes; of each array its sum and that of its squares."""
    bits = hashlib.sha256()
    sums = {}
    for name, values in sorted(arrays.items()):
        bits.update(f"{name} {values.dtype} {values.shape} ".encode())
        bits.update(np.ascontiguousarray(values).tobytes())
        wide = values.astype(np.float64)
        sums[name] = [math.fsum(wide.ravel()), math.fsum(np.square(wide).ravel())]
    return {"sha256": bits.hexdigest(), "sums": sums}


def _tensors(weights: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in weights.items()}


def _arrays(path: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update(
                {name: item[()]} if isinstance(item, h5py.Dataset) else {}
            )
        )
    return found


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV file without volatile columns; numbers as numbers."""
    with path.open(newline="") as file:
        return [
            {
                name: _cell(text)
                for name, text in row.items()
                if name.split("/")[0] not in VOLATILE_COLUMNS
            }
            for row in csv.DictReader(file)
        ]


def _cell(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
