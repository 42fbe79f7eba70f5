"""Applying a finished run to events, with and without truth."""

import json
import pickle
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import QUIET, compose_config, renew_checksums, small_run
from hostile_run import Trap

from msnas.data.split import split_indices
from msnas.errors import ConfigError, DataError
from msnas.predict import Settings, main, predict
from msnas.run import run

DATA = "data/htautau.h5"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A short run's directory and result."""
    output = tmp_path_factory.mktemp("runs")
    words = [*small_run(Path(DATA), output), "data.events=600"]
    result = run(compose_config(words), console=QUIET)
    (directory,) = (path.parent for path in output.glob("htautau/*/*/result.json"))
    return directory, result


@pytest.fixture
def inputs_only(tmp_path: Path) -> Path:
    """The first 50 embedded events without any truth."""
    path = tmp_path / "inputs.h5"
    with h5py.File(DATA) as old, h5py.File(path, "w") as new:
        for name in ("jet", "image"):
            new[name] = old[name][:50]
    return path


def test_predictions_are_the_outputs_that_the_run_was_judged_by(
    finished: tuple[Path, dict[str, object]], tmp_path: Path
) -> None:
    """Which give its numbers: test_outputs.py."""
    directory, _ = finished
    found = predict(Settings(run=str(directory), data=DATA, out=str(tmp_path / "out.h5")))
    with h5py.File(DATA) as file:
        label = file["label"][()]
    test = split_indices(
        label, events=600, generator=np.random.default_rng(0), fractions=[0.6, 0.2, 0.2], where=DATA
    )["test"]
    with h5py.File(directory / "outputs.h5") as file:
        for task in ("tau_calibration", "higgs_id"):
            expected = file[f"{task}/output"][()]
            np.testing.assert_allclose(found[task][test], expected, rtol=1e-5, atol=1e-6)


def test_truth_is_not_needed_and_not_read(
    finished: tuple[Path, dict[str, object]], inputs_only: Path, tmp_path: Path
) -> None:
    directory, _ = finished
    out = tmp_path / "out.h5"
    with_truth = predict(Settings(run=str(directory), data=DATA, out=str(tmp_path / "all.h5")))
    main([f"run={directory}", f"data={inputs_only}", f"out={out}"])
    with h5py.File(out) as file:
        assert file.attrs["selected"] == " -> ".join(
            json.loads((directory / "result.json").read_text())["selected"].values()
        )
        assert file["tau_calibration"].shape == (50, 2, 3)
        assert (file["tau_calibration"][..., 0] >= 0).all()
        assert ((file["higgs_id"][()] > 0) & (file["higgs_id"][()] < 1)).all()
        for name, values in with_truth.items():
            np.testing.assert_allclose(file[name][()], values[:50], rtol=1e-4, atol=1e-5)


def test_every_broken_input_is_one_clear_line(
    finished: tuple[Path, dict[str, object]], inputs_only: Path, tmp_path: Path
) -> None:
    directory, _ = finished
    out = str(tmp_path / "out.h5")
    with pytest.raises(DataError, match="expected the directory of a finished run"):
        predict(Settings(run=str(tmp_path), data=str(inputs_only), out=out))
    with pytest.raises(DataError, match="not found"):
        predict(Settings(run=str(directory), data="missing.h5", out=out))
    with pytest.raises(ConfigError, match=r"batch: expected .* >= 1, found 0"):
        predict(Settings(run=str(directory), data=str(inputs_only), out=out, batch=0))
    predict(Settings(run=str(directory), data=str(inputs_only), out=out))
    with pytest.raises(DataError, match="exists"):
        predict(Settings(run=str(directory), data=str(inputs_only), out=out))
    with h5py.File(inputs_only, "a") as file:
        file["jet"][3, 0, 1] = np.nan
    with pytest.raises(DataError, match=r"jet: found NaN .*event 3"):
        predict(Settings(run=str(directory), data=str(inputs_only), out=out, overwrite=True))
    with h5py.File(inputs_only, "a") as file:
        del file["image"]
    with pytest.raises(DataError, match="missing key 'image'"):
        predict(Settings(run=str(directory), data=str(inputs_only), out=out, overwrite=True))
    with pytest.raises(DataError, match="cannot write"):
        predict(
            Settings(run=str(directory), data=DATA, out=str(tmp_path / "no" / "such" / "folder.h5"))
        )


def test_a_spoilt_model_is_refused_and_not_executed(
    finished: tuple[Path, dict[str, object]], inputs_only: Path, tmp_path: Path
) -> None:
    directory, _ = finished
    copy = tmp_path / "copy"
    shutil.copytree(directory, copy)
    mark = tmp_path / "executed"

    (copy / "model.ckpt").write_bytes(pickle.dumps({"weights": Trap(mark)}, protocol=2))
    renew_checksums(copy)
    settings = Settings(run=str(copy), data=str(inputs_only), out=str(tmp_path / "out.h5"))
    with pytest.raises(DataError, match=r"model\.ckpt is not a readable file of PyTorch's"):
        predict(settings)
    assert not mark.exists()
