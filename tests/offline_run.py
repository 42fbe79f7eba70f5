"""A made run, mirrored to W&B offline, and read back from its file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from msnas.report.wandb_tracker import WandbTracker
from msnas.run_directory import RunDirectory

BLOCK = 32768


def read_records(path: Path) -> Iterator[Any]:
    """The records of a .wandb file: blocks of 32 kB as in LevelDB's log, after 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data = path.read_bytes()
    assert data[:4] == b":W&B"
    place, whole = 7, b""
    while place + 7 <= len(data):
        left = BLOCK - place % BLOCK
        if left < 7:
            place += left
            continue
        length = int.from_bytes(data[place + 4 : place + 6], "little")
        kind = data[place + 6]  # 1: whole, 2: first part, 3: middle, 4: last
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


class OfflineRun:
    """What one offline run holds."""

    def __init__(self, folder: Path) -> None:
        (file,) = folder.glob("run-*.wandb")
        records = list(read_records(file))
        self.folder = folder
        (self.run,) = [record.run for record in records if record.HasField("run")]
        self.history = [
            {
                item.key or "/".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            for record in records
            if record.HasField("history")
        ]
        self.summary: dict[str, Any] = {}
        for record in records:
            if record.HasField("summary"):
                for item in record.summary.update:
                    name = item.key or "/".join(item.nested_key)
                    self.summary[name] = json.loads(item.value_json)
        self.config = {item.key: json.loads(item.value_json) for item in self.run.config.update}
        self.exit_codes = [record.exit.exit_code for record in records if record.HasField("exit")]

    def series(self, name: str) -> list[tuple[int, float]]:
        return [(line["epoch"], line[name]) for line in self.history if name in line]


def offline_runs(directory: Path) -> list[OfflineRun]:
    return [OfflineRun(folder) for folder in sorted(directory.glob("wandb/offline-run-*"))]


def made(folder: Path, key: str = "0123456789abcdef") -> tuple[RunDirectory, dict[str, Any]]:
    """A run directory of DARTS with two tasks, three chains, and a figure."""
    directory = RunDirectory(folder / key)
    directory.path.mkdir(parents=True)
    directory.write_config(
        {
            "seed": 3,
            "problem": {"name": "toy", "chain": ["one", "two"]},
            "tasks": {"one": {"candidates": {"a": {}, "b": {}}}, "two": {"candidates": {"c": {}}}},
            "method": {"name": "darts"},
            "data": {"split_seed": 1},
            "recipe": {"lr": 0.25},
        }
    )
    directory.write_history(
        [
            *(
                {
                    "stage": "pretrain",
                    "model": "one/a",
                    "epoch": epoch,
                    "train/loss": 2.0 - epoch,
                    "time": 1.5e9 + epoch,
                }
                for epoch in range(2)
            ),
            *(
                {
                    "stage": "search",
                    "model": "super-network",
                    "epoch": epoch,
                    "time": 1.5e9 + 60 + epoch,
                    "valid/loss": 1.5 - epoch,
                    "alpha": {"one": {"a": 0.25 * epoch, "b": -0.25 * epoch}},
                }
                for epoch in range(2)
            ),
        ]
    )
    Image.new("RGB", (4, 4)).save(directory.path / "alpha.png")
    chains = [("a", "c", "search", 0.5), ("b", "c", "search", 0.75), ("a", "c", "posttrain", 0.875)]
    result = {
        "key": key,
        "problem": "toy",
        "method": "darts",
        "seed": 3,
        "task_weights": {"one": 0.75, "two": 0.25},
        "selected": {"one": "a", "two": "c"},
        "metrics": {
            "valid": {"loss": 0.5, "two/auc": 0.875, "one/bias": {"x": 0.5}},
            "test": {"loss": 0.5, "two/auc": 0.75, "validity/joint": 0.25},
        },
        "directions": {"two/auc": True, "one/bias": None},
        "chains": [
            {"selected": {"one": one, "two": two}, "stage": stage, "valid": {"two/auc": auc}}
            for one, two, stage, auc in chains
        ],
        "data": {"events": 100},
    }
    return directory, result


def tracker(group: str | None = None) -> WandbTracker:
    return WandbTracker(project="msnas", mode="offline", group=group)
