"""The comparison with the paper's published code: what it needs, and the events it hands over."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import ROOT

from msnas.errors import ConfigError, TrainingError
from msnas.parts import read_events

sys.path[:0] = [str(ROOT / "benchmarks")]
import published_code  # noqa: E402
from published_steps import CONVOLUTIONS, NAMES  # noqa: E402

COUNTS = {"train": 36, "valid": 12, "test": 12}


def made_clone(folder: Path, name: str, file: str) -> None:
    path = folder / name / name / file
    path.parent.mkdir(parents=True)
    path.touch()


def test_a_missing_clone_is_named_with_where_to_get_it(tmp_path: Path) -> None:
    cloned = "git clone https://github.com/UTokyo-ICEPP/multiml && "
    for words in ([], [f"multiml={tmp_path}"], [f"multiml={tmp_path / 'nowhere'}"]):
        with pytest.raises(ConfigError, match=f"multiml: found no multiml/multiml/.*{cloned}"):
            published_code.main(words)
    made_clone(tmp_path, "multiml", "storegate.py")
    with pytest.raises(ConfigError, match=r"found no multiml_htautau/.*/multiml_htautau && "):
        published_code.main([f"multiml={tmp_path}"])
    made_clone(tmp_path, "multiml_htautau", "task/loss.py")
    assert published_code.find_packages(str(tmp_path)) == [
        str(tmp_path / "multiml"),
        str(tmp_path / "multiml_htautau"),
    ]


def test_the_published_code_gets_the_events_of_the_file_in_the_same_parts(tmp_path: Path) -> None:
    """The formulas of docs/data.md, on the raw numbers."""
    events = read_events(published_code.plan_of([*published_code.SAME, "data.events=60"]))
    published_code.write_events(events, tmp_path / "events.npz")
    arrays = np.load(tmp_path / "events.npz")
    assert {f"{part}_{name}" for part in COUNTS for name in ("jet", "image", "tau", "label")} == {
        *arrays
    }
    assert events.origin is not None
    with h5py.File(ROOT / "data" / "htautau.h5") as file:
        raw = {name: file[name][:] for name in ("jet", "image", "tau", "label")}
    train = events.origin.indices["train"]
    filled = [np.log1p(own[own > 0]) for own in np.moveaxis(raw["image"][train], 2, 0)]
    scales = np.array([own.std(dtype=np.float64) for own in filled]).reshape(1, 1, 3, 1, 1)
    for part, count in COUNTS.items():
        chosen = events.origin.indices[part]
        jet, tau = raw["jet"][chosen], raw["tau"][chosen]
        jet[..., 0], tau[..., 0] = np.log(0.1 + jet[..., 0]), np.log(0.1 + tau[..., 0])
        jet[..., 3] /= raw["jet"][train][..., 3].std(dtype=np.float64)
        expected = {
            "jet": jet.reshape(count, 8),
            "image": np.log1p(raw["image"][chosen]) / scales,
            "tau": tau.reshape(count, 6),
            "label": raw["label"][chosen].reshape(count, 1),
        }
        for name, numbers in expected.items():
            written = arrays[f"{part}_{name}"]
            assert written.dtype == np.float32
            assert written == pytest.approx(numbers, rel=1e-5, abs=1e-6), name


def test_both_sides_have_the_same_candidates_and_settings() -> None:
    plan = published_code.plan_of(published_code.SAME)
    tasks = plan.config["tasks"]
    assert [list(tasks[task]["candidates"]) for task in plan.chain] == [*map(list, NAMES.values())]
    convolutions = [sizes for kind, sizes in CONVOLUTIONS if kind == "conv2d"]
    cnn = tasks["tau_calibration"]["candidates"]["cnn"]
    assert [one["out_channels"] for one in convolutions] == cnn["channels"]
    assert [one["kernel_size"] for one in convolutions] == cnn["kernels"]
    assert published_code.steps_of(plan, epochs=7, packages=["here"]) == {
        "packages": ["here"],
        "epochs": 7,
        "lr": 1e-3,
        "pretrain_batch": 128,
        "search_batch": 100,
        "task_weight": 0.5,
        "seed": 0,
    }


def test_a_process_that_fails_is_an_error_with_what_it_said(tmp_path: Path) -> None:
    program = tmp_path / "fails.py"
    program.write_text("raise SystemExit('no such event')")
    with pytest.raises(TrainingError, match=r"fails\.py ended with status 1: no such event"):
        published_code.timed([sys.executable, program], tmp_path / "log")
    program.write_text("for _ in range(10**6): pass")
    seconds = published_code.timed([sys.executable, program], tmp_path / "log")
    assert seconds["processor"] > 0
    assert seconds["wall"] > 0
