"""A chain as one ONNX file: the graph's pieces beside their references, the file, and bad files."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from conftest import ROOT
from made_model import Arrays, differences, made_arrays, made_model

from msnas.conditioning.laws import Constant, Law, LogOdds, LogUniform, Uniform
from msnas.data.fields import LogPixels
from msnas.data.frames import Canonical, Frame
from msnas.errors import ConfigError, DataError
from msnas.evaluation.gaussian_process import fit_gaussian_process
from msnas.evaluation.validity import Validity
from msnas.export.__main__ import Settings, export
from msnas.export.band import Band, ClosedForm
from msnas.export.graph import Graph, coordinate, turned
from msnas.export.read import load_onnx
from msnas.export.write import import_onnx, write_onnx
from msnas.model import Model
from msnas.predict import Settings as PredictSettings
from msnas.predict import predict

FRAME = Canonical(jets="jet", momenta=["jet", "tau"], images=["image"])
YOTO = ["conditioning=yoto", "conditioning.parameters=[task_weight]"]


def raw_events() -> Arrays:
    with h5py.File(ROOT / "data" / "htautau.h5") as file:
        found: Arrays = {name: file[name][:300] for name in ("jet", "image", "tau")}
    found["jet"][0, :, 1:3] = [[0.0, np.pi], [-1.0, -np.pi]]  # the edges of what is decided
    found["jet"][1, :, 2] = 0.5
    return found


def test_the_frame_in_tensors_is_that_of_arrays() -> None:
    raw = raw_events()
    expected, turn = FRAME.turn(raw, where="here")
    found, found_turn = turned(FRAME, {name: torch.from_numpy(one) for name, one in raw.items()})
    for name, values in expected.items():
        assert values.dtype == found[name].numpy().dtype
        assert (values == found[name].numpy()).all(), name
    assert (turn.astype(np.float32) == found_turn.numpy()).all()
    assert (expected["image"] != raw["image"]).any()


LAWS = {
    "uniform": Uniform(low=-2.0, high=3.0, points=[0.0]),
    "log_uniform": LogUniform(low=1e-6, high=1.0, points=[1e-3]),
    "log_odds": LogOdds(limit=19.0, points=[0.5]),
    "constant": Constant(value=0.3),
}


@pytest.mark.parametrize("name", LAWS)
def test_coordinates_are_those_of_the_law(name: str) -> None:
    law: Law = LAWS[name]
    low, high = law.limits()
    values = law.value(torch.linspace(-1, 1, 41)).tolist()
    for value in [*values, low - 1, high + 1]:
        found = float(coordinate(law, torch.tensor(value, dtype=torch.float64)))
        assert found == pytest.approx(law.unit(value), abs=1e-8)


def judged(events: int) -> tuple[dict[str, Any], dict[str, torch.Tensor], torch.Tensor]:
    """Settings and weights of a judge of two momenta from eight numbers, and such numbers."""
    generator = torch.Generator().manual_seed(0)
    jet = torch.randn(events, 2, 4, generator=generator)
    target = torch.tanh(jet[..., :3]) + 0.1 * torch.randn(events, 2, 3, generator=generator)
    settings: dict[str, Any] = {
        "_target_": "msnas.evaluation.validity.Validity",
        "inputs": ["jet"],
        "residual_of": "jet",
        "variables": ["pt_1", "eta_1", "phi_1", "pt_2", "eta_2", "phi_2"],
        "angles": [2, 5],
        "inducing": 12,
        "latents": 3,
        "ard": True,
        "epochs": 2,
        "batch": 50,
        "lr": 0.05,
        "calibrate": True,
    }
    judge = Validity(**{key: value for key, value in settings.items() if key != "_target_"})
    part = {"jet": jet, "tau": target}
    return settings, judge.fit(part, part, target="tau", seed=0), jet


def test_the_closed_form_of_the_judge_is_its_band() -> None:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(300, 3, generator=generator)
    targets = torch.stack((inputs[:, 0].sin(), inputs[:, 1] * inputs[:, 2]), 1)
    process = fit_gaussian_process(
        inputs, targets, inducing=20, latents=3, ard=True, epochs=5, batch=50, lr=0.05, seed=0
    )
    process.sigma_factor = torch.tensor([1.5, 0.7])
    far = torch.cat((inputs, 10 * inputs[:5]))
    expected, found = process.band(far), ClosedForm(process).band(far)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, rtol=2e-4, atol=2e-4)


def test_a_band_is_where_the_judge_has_it() -> None:
    settings, weights, jet = judged(200)
    model = made_model("htautau", ["sf", "mass"], [])
    task = model.chain.tasks[0]
    validity = Validity(**{key: value for key, value in settings.items() if key != "_target_"})
    output = jet[..., :3] + 1.0 * torch.randn(200, 2, 3, generator=torch.Generator().manual_seed(2))
    edges, inside = Band(task, validity, weights)({"jet": jet}, output)
    measured = validity.measure(weights, {"jet": jet, "tau": output}, output, target="tau")
    assert float(inside.double().mean()) == pytest.approx(measured["validity/joint"], abs=0.011)
    assert edges.shape == (200, 2, 2, 3)
    told = task.output.prediction(output)
    between = ((edges[:, 0] <= told) & (told <= edges[:, 1])).flatten(1).all(1)
    assert (between == inside)[told[..., 2].abs().amax(1) < 2].all()  # far from where angles wrap
    assert 0.02 < float(inside.double().mean()) < 0.98


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    """A conditioned chain in a frame with its judge, and its file."""
    pytest.importorskip("onnxscript", reason="requirements-export.txt is not installed")
    model = made_model("htautau", ["sf", "mass"], YOTO)
    settings, weights, _ = judged(100)
    model = dataclasses.replace(model, judges={"tau_calibration": (settings, weights)})
    path = tmp_path_factory.mktemp("onnx") / "chain.onnx"
    said = write_onnx(model, path)
    assert "tau_calibration ((pT [GeV], eta, phi))" in said
    return model, path


ALONE = """
import json, sys
import numpy as np
import onnxruntime
arrays = dict(np.load("inputs.npz"))
session = onnxruntime.InferenceSession("chain.onnx")
names = [one.name for one in session.get_outputs()]
np.savez("outputs.npz", **dict(zip(names, session.run(names, arrays))))
told = session.get_modelmeta().custom_metadata_map
print(json.dumps({"told": told, "loaded": sorted({"torch", "msnas", "onnx"} & set(sys.modules))}))
"""


def run_alone(path: Path, arrays: Arrays, folder: Path) -> tuple[Arrays, dict[str, str]]:
    """Outputs and metadata by ONNX Runtime and numpy, in a process without PyTorch and msnas."""
    np.savez(folder / "inputs.npz", **arrays)
    if path != folder / "chain.onnx":
        (folder / "chain.onnx").write_bytes(path.read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", ALONE], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["loaded"] == []
    with np.load(folder / "outputs.npz") as outputs:
        return dict(outputs), said["told"]


@pytest.mark.parametrize("events", [1, 200])
@pytest.mark.parametrize("weight", [None, 0.9])
def test_the_file_gives_what_the_model_does(
    written: tuple[Model, Path], events: int, weight: float | None, tmp_path: Path
) -> None:
    model, path = written
    arrays = made_arrays(model, events)
    given = {} if weight is None else {"task_weight": np.float32(weight)}
    found, told = run_alone(path, {**arrays, **given}, tmp_path)
    conditions = {} if weight is None else {"task_weight": str(weight)}
    expected = model.predict(arrays, conditions=conditions, batch=64)
    for name, one in differences(model, found, expected).items():
        assert one < 1e-5, name
    assert found["tau_calibration_band"].shape == (events, 2, 2, 3)
    assert found["tau_calibration_inside"].dtype == bool
    assert told["key"] == "0123456789abcdef"
    assert json.loads(told["conditions"])["task_weight"]["default"] == pytest.approx(0.3)
    assert json.loads(told["inputs"])["image"]["is"] == "Pixels [GeV]"


def test_predict_takes_the_file_for_the_run(written: tuple[Model, Path], tmp_path: Path) -> None:
    model, path = written
    arrays = made_arrays(model, 30)
    with h5py.File(tmp_path / "events.h5", "w") as file:
        for name, values in arrays.items():
            file[name] = values
    settings = PredictSettings(
        run=str(path), data=str(tmp_path / "events.h5"), out=str(tmp_path / "out.h5"), batch=7
    )
    found = predict(settings, {"task_weight": "0.7"})
    expected = model.predict(arrays, conditions={"task_weight": "0.7"}, batch=30)
    assert max(differences(model, found, expected).values()) < 1e-5
    with h5py.File(tmp_path / "out.h5") as file:
        assert file.attrs["key"] == "0123456789abcdef"
        assert (file["higgs_id"][()] == found["higgs_id"]).all()
    settings.overwrite = True
    with pytest.raises(ConfigError, match=r"gamma: .*allowed are \['task_weight'\]"):
        predict(settings, {"gamma": "1"})
    with h5py.File(tmp_path / "events.h5", "a") as file:
        file["jet"][3, 0, 0] = -1.0
    with pytest.raises(DataError, match=r"jet: found pT -1\.0 GeV"):
        predict(settings)


def test_errors_name_what_to_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "chain.onnx"
    with pytest.raises(DataError, match="expected the directory of a finished run"):
        export(Settings(run=str(tmp_path), out=str(out)))
    out.write_text("mine")
    with pytest.raises(DataError, match=r"out: .*chain\.onnx exists"):
        export(Settings(run=str(tmp_path), out=str(out)))
    assert out.read_text() == "mine"
    monkeypatch.setattr("msnas.export.write.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"onnx is not installed.*requirements-export\.txt"):
        import_onnx()


def test_a_frame_that_is_not_known_is_refused() -> None:
    class Other(Frame):
        def turn(self, raw: Any, *, where: str) -> Any:
            return raw, where

    model = dataclasses.replace(made_model("htautau", ["sf", "mass"], []), frame=Other())
    with pytest.raises(ConfigError, match=r"data\.frame: Other cannot be exported"):
        Graph(model)


# files from somebody else


def image_file(onnx: Any, **changes: Any) -> Any:
    """A file of the right form: the sum of an image's pixels, so to say by task `total`."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = changes.get("nodes") or [
        helper.make_node("ReduceSum", ["image", "axes"], ["total"], keepdims=0)
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("image", kind, ["event", 1, 2, 2])],
        [helper.make_tensor_value_info("total", kind, ["event"])],
        [helper.make_tensor("axes", onnx.TensorProto.INT64, [3], [1, 2, 3])],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(one, 18) for one in changes.get("domains", [""])],
        ir_version=10,
    )
    field = LogPixels(shape=[1, 2, 2]).settings()
    told = {"inputs": {"image": {"field": field}}, "conditions": {}, "outputs": {"total": {}}}
    props = {name: json.dumps(one) for name, one in {**told, **changes.get("told", {})}.items()}
    helper.set_model_props(model, props)
    return model


def external(onnx: Any) -> Any:
    """Its values are said to be in another file."""
    model = image_file(onnx)
    (values,) = model.graph.initializer
    values.data_location = onnx.TensorProto.EXTERNAL
    values.external_data.add(key="location", value="/etc/passwd")
    return model


def constant(onnx: Any) -> Any:
    """The same as what a node is told."""
    (values,) = external(onnx).graph.initializer
    node = onnx.helper.make_node("Constant", [], ["other"])
    node.attribute.append(onnx.helper.make_attribute("value", values))
    model = image_file(onnx)
    model.graph.node.append(node)
    return model


def hidden(onnx: Any) -> Any:
    """The same inside a branch."""
    inner = external(onnx).graph
    node = onnx.helper.make_node("If", ["image"], ["total"], then_branch=inner, else_branch=inner)
    return image_file(onnx, nodes=[node])


def loop(onnx: Any) -> Any:
    node = onnx.helper.make_node("Loop", ["", ""], ["total"], body=image_file(onnx).graph)
    return image_file(onnx, nodes=[node])


def foreign(onnx: Any) -> Any:
    node = onnx.helper.make_node("Sum", ["image"], ["total"], domain="com.theirs")
    return image_file(onnx, nodes=[node], domains=["", "com.theirs"])


def other_names(onnx: Any) -> Any:
    return image_file(onnx, told={"outputs": {"score": {}}})


def other_class(onnx: Any) -> Any:
    return image_file(onnx, told={"inputs": {"image": {"field": {"_target_": "os.system"}}}})


def no_sense(onnx: Any) -> Any:
    return image_file(onnx, told={"inputs": {"image": 3}})


BAD: dict[str, tuple[Callable[[Any], Any], str]] = {
    "external": (external, "values of 'axes' are in another file"),
    "constant": (constant, "values of 'axes' are in another file"),
    "hidden": (hidden, "values of 'axes' are in another file"),
    "loop": (loop, "Loop: expected those of ONNX, no loops"),
    "foreign": (foreign, "uses 'com.theirs'"),
    "other_names": (other_names, r"outputs: found \['total'\], its metadata declare \['score'\]"),
    "other_class": (other_class, "'os.system' is not allowed"),
    "no_sense": (no_sense, "cannot be used"),
}


def test_a_file_of_the_right_form_is_read(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="requirements-export.txt is not installed")
    pytest.importorskip("onnxruntime")
    path = tmp_path / "good.onnx"
    path.write_bytes(image_file(onnx).SerializeToString())
    found = load_onnx(path).predict({"image": np.ones((5, 1, 2, 2))}, conditions={}, batch=2)
    assert found["total"].tolist() == [4.0] * 5
    with pytest.raises(DataError, match="missing key 'image'"):
        load_onnx(path).predict({}, conditions={}, batch=2)
    with pytest.raises(ConfigError, match=r"batch: expected .* >= 1, found 0"):
        load_onnx(path).predict({}, conditions={}, batch=0)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused(name: str, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="requirements-export.txt is not installed")
    pytest.importorskip("onnxruntime")
    make, said = BAD[name]
    path = tmp_path / "bad.onnx"
    path.write_bytes(make(onnx).SerializeToString())
    with pytest.raises((ConfigError, DataError), match=said):
        load_onnx(path)


def test_a_file_that_is_none_or_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx", reason="requirements-export.txt is not installed")
    pytest.importorskip("onnxruntime")
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"\x80\x05cposix\nsystem\n")
    with pytest.raises(DataError, match=r"bad\.onnx: cannot be used"):
        load_onnx(path)
    monkeypatch.setattr("msnas.export.read.LARGEST", 5)
    with pytest.raises(DataError, match="more than the 5 that are read"):
        load_onnx(path)
