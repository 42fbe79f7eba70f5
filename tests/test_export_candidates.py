"""Every candidate of conf/ as ONNX, conditioned and not; a real run; the commands of the docs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import CONF, QUIET, compose_config, small_run
from killable_run import python
from made_model import differences, made_arrays, made_model
from test_docs import blocks
from test_export import run_alone

import msnas
from msnas.errors import ConfigError
from msnas.export.write import write_onnx
from msnas.run import run

pytestmark = pytest.mark.slow
pytest.importorskip("onnxscript", reason="requirements-export.txt is not installed")

PROBLEMS = {
    "digit_sum": ["digit_recognition", "digit_sum"],
    "htautau": ["tau_calibration", "higgs_id"],
    "htautau_direct": ["direct_higgs_id"],
    "htautau_fakes": ["pair_tau_id", "pair_calibration", "event_class"],
    "tau_jet_multitask": ["tau_jet_features", "tau_id", "jet_calibration"],
    "tau_vs_jet": ["tau_id"],
    "toy": ["toy_regression", "toy_classification"],
    "toy3": ["toy3_z", "toy3_w", "toy3_label"],
}
DRAWS = "noise"
"""What draws random numbers cannot be the same elsewhere."""

OF_FEATURES = {"tau_id": {"head", "mlp"}}
"""Candidates that read features instead of an image."""


def candidates(problem: str, task: str) -> list[str]:
    names = {path.stem for path in (CONF / "candidate" / task).glob("*.yaml")} - {DRAWS}
    if task in OF_FEATURES:
        shared = "tau_jet_features" in PROBLEMS[problem]
        names = names & OF_FEATURES[task] if shared else names - OF_FEATURES[task]
    return sorted(names)


def chains(problem: str) -> list[list[str]]:
    """Chains that have every candidate of every task once at least."""
    named = [candidates(problem, task) for task in PROBLEMS[problem]]
    most = max(map(len, named))
    return [[names[number % len(names)] for names in named] for number in range(most)]


CHAINS = [(problem, chain) for problem in PROBLEMS for chain in chains(problem)]


def of_gamma(task: str) -> list[str]:
    return [f"loss@tasks.{task}.loss=focal", "conditioning.parameters=[gamma]"]


OF_WEIGHT = ["conditioning.parameters=[task_weight]"]
CONDITIONING = {
    "htautau_direct": of_gamma("direct_higgs_id"),
    "htautau_fakes": of_gamma("event_class"),
    "tau_vs_jet": of_gamma("tau_id"),
    "toy3": of_gamma("toy3_label"),
}


def test_every_candidate_is_among_the_chains() -> None:
    there = {path.parent.name for path in CONF.glob("candidate/*/*.yaml")}
    assert there == {task for tasks in PROBLEMS.values() for task in tasks}
    for task in there:
        used = {
            name
            for problem in PROBLEMS
            if task in PROBLEMS[problem]
            for name in candidates(problem, task)
        }
        assert used == {path.stem for path in (CONF / "candidate" / task).glob("*.yaml")} - {DRAWS}


@pytest.mark.parametrize("conditioned", [False, True], ids=["plain", "conditioned"])
@pytest.mark.parametrize(
    ("problem", "chain"), CHAINS, ids=[f"{p}-{'-'.join(c)}" for p, c in CHAINS]
)
def test_a_candidate_is_the_same_in_onnx(
    problem: str, chain: list[str], conditioned: bool, tmp_path: Path
) -> None:
    words = [
        "conditioning=yoto",
        *CONDITIONING.get(problem, ["conditioning.parameters=[task_weight]"]),
    ]
    model = made_model(problem, chain, words if conditioned else [])
    write_onnx(model, tmp_path / "chain.onnx")
    arrays = made_arrays(model, 100)
    points: list[dict[str, float]] = [{}]
    if model.point is not None and model.conditioning is not None:
        points += [{one.key: one.law.points[0] for one in model.conditioning.parameters}]
    for point in points:
        given = {key: np.float32(value) for key, value in point.items()}
        found, _ = run_alone(tmp_path / "chain.onnx", {**arrays, **given}, tmp_path)
        texts = {key: str(value) for key, value in point.items()}
        expected = model.predict(arrays, conditions=texts, batch=100)
        for name, one in differences(model, found, expected).items():
            # a mass is a difference of large squares: rounding in float32 shows more
            assert one < (3e-5 if "mass" in chain else 1e-5), (name, point)


def test_what_draws_random_numbers_is_refused(tmp_path: Path) -> None:
    model = made_model("htautau", ["noise", "mass"], [])
    key = r"tasks\.tau_calibration\.candidates\.noise: cannot be expressed in ONNX \(.*random"
    with pytest.raises(ConfigError, match=key):
        write_onnx(model, tmp_path / "chain.onnx")
    assert not (tmp_path / "chain.onnx").exists()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, event_file: Path) -> Path:
    """A run with a judge, in a canonical frame."""
    output = tmp_path_factory.mktemp("finished") / "runs"
    words = [word for word in small_run(event_file, output) if "validity" not in word]
    cfg = compose_config([*words, "frame=canonical"])
    cfg.tasks.tau_calibration.validity.epochs = 1
    run(cfg, console=QUIET)
    (result,) = output.rglob("result.json")
    return result.parent


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_run_is_exported_with_its_judge_and_stays_as_it_is(
    finished: Path, event_file: Path, tmp_path: Path
) -> None:
    before = content(finished)
    best = msnas.load(finished)
    best.export(tmp_path / "chain.onnx")
    assert content(finished) == before
    with h5py.File(event_file) as file:
        arrays = {name: file[name][()] for name in ("jet", "image")}
    found, told = run_alone(tmp_path / "chain.onnx", arrays, tmp_path)
    expected = best.predict(arrays)
    np.testing.assert_allclose(found["higgs_id"], expected["higgs_id"], atol=1e-5)
    assert told["key"] == finished.name
    assert "sha256" in told["trained_on"]
    share = best.metrics["test"]["validity/joint"]
    assert abs(found["tau_calibration_inside"].mean() - share) < 0.15  # test events among all


def test_the_commands_of_the_documentation(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(CONF.parent / "data")
    commands = blocks("docs/export.md", "bash")[0].strip().splitlines()
    for command in commands:
        words = [
            word.replace("runs/htautau/spos/<key>", str(finished)) for word in shlex.split(command)
        ]
        done = python(*words[1:], folder=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    assert "30010 events: tau_calibration, higgs_id, tau_calibration_band" in done.stdout
    (example,) = blocks("docs/export.md", "python")
    exec(
        compile(example.replace('"chain.onnx"', repr(str(tmp_path / "chain.onnx"))), "docs", "exec")
    )


def onnxruntime_headers() -> Path | None:
    """Where ONNX Runtime is installed for C++: $ONNXRUNTIME, or the usual folders."""
    for folder in (os.environ.get("ONNXRUNTIME", ""), "/usr/local", "/usr"):
        for include in ("include", "include/onnxruntime"):
            if folder and (Path(folder) / include / "onnxruntime_cxx_api.h").is_file():
                return Path(folder) / include
    return None


def test_the_example_in_cpp(finished: Path, tmp_path: Path) -> None:
    compiler, include = shutil.which("g++"), onnxruntime_headers()
    if compiler is None or include is None:
        pytest.skip("no g++, or no headers of ONNX Runtime (ONNXRUNTIME=<folder> names them)")
    (source,) = blocks("docs/export.md", "cpp")
    assert len(source.splitlines()) < 45
    (tmp_path / "apply.cpp").write_text(source)
    libraries = include.parent if include.name == "include" else include.parents[1]
    subprocess.run(
        [compiler, "-std=c++17", "apply.cpp", f"-I{include}", f"-L{libraries / 'lib'}",
         f"-Wl,-rpath,{libraries / 'lib'}", "-lonnxruntime", "-o", "apply"],
        cwd=tmp_path, check=True,
    )  # fmt: skip
    msnas.load(finished).export(tmp_path / "chain.onnx")
    said = subprocess.run(
        ["./apply"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    jet = np.array([[[60, 0.5, 1.0, 8], [45, -0.2, -2.0, 6]]], np.float32)
    image = np.zeros((1, 2, 3, 16, 16), np.float32)
    image[0, 0, 0, 8, 8], image[0, 1, 1, 8, 8] = 40, 30
    expected = msnas.load(finished).predict({"jet": jet, "image": image})
    numbers = [float(word) for word in re.findall(r"[\d.e+-]+(?=[ \n])", said) if word[0].isdigit()]
    momenta = expected["tau_calibration"][0, :, 0]
    assert numbers == pytest.approx([*momenta, expected["higgs_id"][0]], rel=1e-4)
