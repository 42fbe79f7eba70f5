"""outputs.h5 read back: what it says of the test events, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import QUIET, compose_config, epochs
from made_scan import made_result
from sklearn.metrics import roc_auc_score

from msnas.errors import DataError
from msnas.results.outputs import (
    BINARY,
    MOMENTUM,
    binary_of,
    jet_field,
    last_task_with,
    momenta_of,
    read_outputs,
)
from msnas.results.result import Result
from msnas.results.runs import collect
from msnas.run import run

KEY = "0123456789abcdef"


def made_run(directory: Path, arrays: dict[str, np.ndarray], *, key: str = KEY) -> Result:
    """A run of two tasks with these arrays in its outputs.h5."""
    with h5py.File(directory / "outputs.h5", "w") as file:
        file.attrs["key"] = key
        for name, values in arrays.items():
            file[name] = values
    config = {
        "problem": {"name": "made", "chain": ["calibration", "id"]},
        "data": {"fields": {"jet": {"_target_": "msnas.data.fields.JetMomentum"}}},
        "tasks": {
            "calibration": {"output": {"_target_": MOMENTUM}, "loss": {}, "target": "tau"},
            "id": {"output": {"_target_": BINARY}, "loss": {"_target_": "x"}, "target": "label"},
        },
    }
    return made_result(directory, config, key=KEY)


def arrays(count: int = 6) -> dict[str, np.ndarray]:
    return {
        "inputs/jet": np.ones((count, 2, 4), dtype=np.float32),
        "calibration/output": np.ones((count, 2, 3), dtype=np.float32),
        "calibration/target": np.ones((count, 2, 3), dtype=np.float32),
        "id/output": np.linspace(0, 1, count, dtype=np.float32),
        "id/target": np.arange(count) % 2,
    }


def test_a_real_run_leaves_outputs_that_give_its_own_numbers_again(tmp_path: Path) -> None:
    settings = ["problem=toy", "trainer=cpu", "logger=none", "data.source.events=600"]
    result = run(compose_config([*settings, *epochs(2), f"output={tmp_path}"]), console=QUIET)
    (finished,) = collect([tmp_path / "toy"]).finished
    outputs = read_outputs(finished)
    task = last_task_with(finished, BINARY)
    assert task == "toy_classification"
    score, label = binary_of(outputs, task)
    expected = result["metrics"]["test"][f"{task}/auc"]
    assert roc_auc_score(label, score) == pytest.approx(expected, abs=1e-5)
    error = outputs.output["toy_regression"] - outputs.target["toy_regression"]
    expected = result["metrics"]["test"]["toy_regression/mse"]
    assert (error**2).sum(1).mean() == pytest.approx(expected, rel=1e-4)
    assert len(label) == 120
    assert outputs.run.key == result["key"]
    assert (outputs.weight == 1).all()


def test_tasks_and_jets_are_known_by_their_classes(tmp_path: Path) -> None:
    run = made_run(tmp_path, arrays())
    assert last_task_with(run, BINARY) == "id"
    assert last_task_with(run, MOMENTUM) is None  # its loss is empty: no truth
    assert jet_field(run) == "jet"
    momenta = momenta_of(read_outputs(run), "calibration", "jet")
    assert momenta.jet.shape == (6, 2, 4)
    assert momenta.output.shape == momenta.true.shape == (6, 2, 3)


def test_one_jet_an_event_needs_no_axis_of_particles(tmp_path: Path) -> None:
    some = arrays()
    for name in ("inputs/jet", "calibration/output"):
        some[name] = some[name][:, 0]
    some["calibration/target"] = some["calibration/target"][:, :1]
    momenta = momenta_of(read_outputs(made_run(tmp_path, some)), "calibration", "jet")
    assert momenta.jet.shape == (6, 1, 4)
    assert momenta.output.shape == momenta.true.shape == (6, 1, 3)


def _nan(some: dict[str, np.ndarray]) -> None:
    some["id/output"][3] = np.nan


def _fewer(some: dict[str, np.ndarray]) -> None:
    some["inputs/jet"] = some["inputs/jet"][:-1]


def _without(some: dict[str, np.ndarray]) -> None:
    del some["id/output"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_nan, "id/output holds NaN or infinity"),
        (_fewer, "inputs/jet has 5 events, expected 6"),
        (_without, "no output of id"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, spoil: Callable[[dict[str, np.ndarray]], None], message: str
) -> None:
    some = arrays()
    spoil(some)
    with pytest.raises(DataError, match=message):
        read_outputs(made_run(tmp_path, some))


def test_a_missing_a_broken_and_a_foreign_file_are_told_apart(tmp_path: Path) -> None:
    run = made_run(tmp_path, arrays(), key="fedcba9876543210")
    with pytest.raises(DataError, match=f"of run fedcba9876543210, expected {KEY}"):
        read_outputs(run)
    (tmp_path / "outputs.h5").write_bytes(b"half a file")
    with pytest.raises(DataError, match=r"outputs\.h5 cannot be read"):
        read_outputs(run)
    (tmp_path / "outputs.h5").unlink()
    with pytest.raises(DataError, match=r"no outputs\.h5"):
        read_outputs(run)


def test_one_class_alone_and_shapes_that_do_not_fit(tmp_path: Path) -> None:
    some = arrays()
    some["id/target"] = np.zeros(6, dtype=int)
    some["calibration/output"] = some["calibration/output"][:, :1]
    outputs = read_outputs(made_run(tmp_path, some))
    with pytest.raises(DataError, match=r"found classes \[0\], expected \[0, 1\]"):
        binary_of(outputs, "id")
    with pytest.raises(DataError, match="2 jets, 1 outputs and 2 truths"):
        momenta_of(outputs, "calibration", "jet")
    with pytest.raises(DataError, match="no inputs/image"):
        momenta_of(outputs, "calibration", "image")


def test_weights_are_read(tmp_path: Path) -> None:
    outputs = read_outputs(made_run(tmp_path, {**arrays(), "weight": np.arange(6) - 1.0}))
    np.testing.assert_array_equal(outputs.weight, [-1, 0, 1, 2, 3, 4])
