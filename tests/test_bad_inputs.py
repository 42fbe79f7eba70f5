"""Wrong input never passes in silence: a line that says what to mend, and nothing is harmed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

TOY = ("train", "problem=toy", "data.events=200", "trainer=cpu", "logger=none")
BALLS = ("train", "data.events=all", "trainer=cpu", "logger=none", "debug=smoke")
RUN = "run=runs/toy/spos/RUN"

Row = tuple[tuple[str, ...], str]

NO_TORCH: dict[str, Row] = {
    "no problem": (("train", "problem=null"), "problem: None is no option; options: digit_sum, "),
    "no method": (("train", "method=null"), "method: None is no option; options: asng, "),
    "no search": ((*TOY, "recipe.search=null"), "recipe.search: expected a mapping, found None"),
    "no weights": ((*TOY, "task_weights=null"), "task_weights: expected a mapping, found None"),
    "no output": ((*TOY, "output="), "output: expected a folder, found ''"),
    "no fields": ((*TOY, "data.fields=null"), "data.fields: expected a mapping, found None"),
    "an unknown setting": ((*TOY, "sede=1"), "sede: unknown; did you mean seed?"),
    "an unknown candidate": (
        (*TOY, "candidate/toy_regression=[foo]"),
        "candidate/toy_regression: 'foo' is no option; options: curve, line, plane",
    ),
    "an unknown loss": ((*TOY, "loss@tasks.toy_regression.loss=foo"), "loss: 'foo' is no option"),
    "a word as a rate": (
        (*TOY, "recipe.optimizer.lr=fast"),
        "recipe.optimizer.lr: expected a number > 0, found 'fast'",
    ),
    "a weight above 1": (
        (*TOY, "task_weight=1.5"),
        "task_weight: expected a number from 0 to 1, f",
    ),
    "an unknown field": (
        (*TOY, "data.stratify=y"),
        "data.stratify: 'y' is not a field; fields are",
    ),
    "a judge of no field": (
        ("train", "tasks.tau_calibration.validity.inputs=[jets]"),
        "tasks.tau_calibration.validity: 'jets' is not a field; fields are",
    ),
    "a word as a switch": (
        ("train", "tasks.tau_calibration.candidates.cnn.sparse=maybe"),
        "tasks.tau_calibration.candidates.cnn.sparse: expected true or false, found 'maybe'",
    ),
    "a word among numbers": (
        ("train", "tasks.tau_calibration.candidates.cnn.kernels=[3,a]"),
        "cnn.kernels: expected a list (each a whole number), found [3, 'a']",
    ),
    "no events": ((*TOY, "data.events=0"), "data.events: expected a number of events or all, fou"),
    "no file": (("train", "data.file=nix.h5"), "data.file: nix.h5 not found (looked in "),
    "no reference": ((*TOY, "output=${foo}"), "output: Interpolation key 'foo' not found"),
    "no variable": ((*TOY, "output=${oc.env:NIX}"), "Environment variable 'NIX' not found"),
    "a key alone": ((*TOY, "seed"), "'seed': expected key=value"),
    "several values": (
        (*TOY, "seed=0,1"),
        "seed=0,1: several values, expected one; sweep does many",
    ),
    "a comma": ((*TOY, "output=a,b"), "a text of any characters has quotes: \"output='a,b'\""),
    "an equals sign": ((*TOY, "output=a=b"), "characters has quotes: \"output='a=b'\""),
    "Japanese": ((*TOY, "output=実験 1"), "characters has quotes: \"output='実験 1'\""),
    "a folder of Hydra's": ((*TOY, "hydra.run.dir=/dev/null/x"), "Not a directory: '/dev/null/x'"),
    "a folder that is none": (
        ("train", "--config-dir=nix", "problem=toy"),
        "--config-dir: 'nix' is not a folder",
    ),
    "a package that is none": ((*TOY, "allow=[nix]"), "nix"),
    "settings of a scan": ((*TOY, "+dry_run=true"), "dry_run: only for many runs"),
    "a scan's name": (
        ("sweep", *TOY[1:], "seed=0,1", "scan.name=../x"),
        "scan.name: expected null or a",
    ),
    "a scan's switch": (
        ("sweep", *TOY[1:], "seed=0,1", "dry_run=7"),
        "dry_run: expected true or f",
    ),
    "no such command": (("trian",), "trian: unknown; did you mean train?"),
    "runs that are not there": (("compare", "runs=nix"), "runs: nix is not a folder (looked in "),
    "no runs to report": (("report", "runs=nix", "out=report"), "runs: nix is not a folder"),
    "no choices": (("choose", "runs=nix"), "runs: nix is not a folder"),
    "an unknown reference": (
        ("compare", "runs=runs", "reference=foo"),
        "reference: 'foo' is no method of these runs; there are ['spos']",
    ),
    "an unknown key": (("choose", "runs=runs", "foo=1"), "foo: unknown key; keys are runs, "),
    "an impossible confidence": (
        ("compare", "runs=runs", "confidence=2"),
        "confidence: expected abo",
    ),
}
"""Those that need no events are known before PyTorch is imported."""

WITH_TORCH: dict[str, Row] = {
    "another candidate in the chain": (
        (*TOY, "method=fixed_chain", "method.chain=[foo,logistic]"),
        "method.chain: 'foo' is not a candidate; allowed are ['curve', 'plane', 'line']",
    ),
    "a layer of no width": (
        (*TOY, "tasks.toy_regression.candidates.curve.layers=[-1]"),
        "tasks.toy_regression.candidates.curve: ",
    ),
    "a rate no optimiser takes": (
        (*TOY, "+recipe.optimizer.betas=[2,3]"),
        "recipe.optimizer: torch.optim.Adam: Invalid beta parameter",
    ),
    "an unknown parameter": (
        (*TOY, "conditioning=yoto", "conditioning.parameters=[foo]"),
        "conditioning.parameters: 'foo' is not there",
    ),
    "weights beside those found": (
        (*TOY, "weighting=gradnorm", "task_weight=.5"),
        "task_weight, task_weights: GradNorm finds its own weights",
    ),
    "no run": (
        ("predict", "run=nix", "data=x.h5", "out=p.h5"),
        "nix: expected the directory of a f",
    ),
    "no data": (("predict", RUN, "data=nix.h5", "out=p.h5"), "nix.h5 not found (looked in "),
    "no HDF5": (("predict", RUN, "data=text.h5", "out=p.h5"), "text.h5 cannot be read as HDF5"),
    "a batch of none": (
        ("predict", RUN, "data=x.h5", "out=p.h5", "batch=0"),
        "batch: expected a whole number >= 1, found 0",
    ),
    "no events to predict": (
        ("predict", RUN, "data=none.h5", "out=p.h5"),
        "none.h5: x: holds no e",
    ),
    "an existing file": (
        ("predict", RUN, "data=x.h5", "out=x.h5"),
        "out: x.h5 exists; choose anot",
    ),
    "a weight of an unconditioned run": (
        ("evaluate", RUN, "task_weight=1.5"),
        "task_weight: the run is not conditioned: it has one value",
    ),
    "an unknown shift": (("evaluate", RUN, "shifts=foo"), "shifts: 'foo' is none of the run's own"),
    "a part that is none": (
        ("evaluate", RUN, "part=foo"),
        "part: found 'foo', allowed: test | vali",
    ),
    "yields that are none": (
        ("measure", RUN, "yields=nix"),
        "yields: 'nix' is no option and no fi",
    ),
    "no run to export": (
        ("export", "run=nix", "out=x.onnx"),
        "nix: expected the directory of a fin",
    ),
    **{
        f"{damage} as {file}": (
            (command, f"run={damage}-{file}", *more),
            f"{damage}-{file}/{file}",
        )
        for damage, (command, *more) in {
            "text": ("predict", "data=x.h5", "out=p.h5"),
            "nothing": ("evaluate",),
            "a flipped bit": ("export", "out=x.onnx"),
        }.items()
        for file in ("model.ckpt", "config.yaml", "result.json")
    },
    "no files of events": (
        ("convert", "out=c.h5", "signal=nix.root", "background=no.root"),
        "signal: no file matches 'nix.root'",
    ),
}

EVENTS: dict[str, Row] = {
    "no event": ((*BALLS, "data.file=no_jets.h5"), "no_jets.h5: jet: holds no event"),
    "an absurd energy": (
        (*BALLS, "data.file=huge.h5"),
        "huge.h5: jet: found pT [GeV] 1e+30 (event 3), expected at most 100000; is it in another",
    ),
    "degrees": ((*BALLS, "data.file=degrees.h5"), "degrees.h5: tau: found phi [rad] "),
    "absurd pixels": (
        (*BALLS, "data.file=pixels.h5"),
        "pixels.h5: image: found pixel [GeV] 1e+06 (",
    ),
    "numbers as classes": (
        (*TOY, "data.stratify=x"),
        "toy: data.stratify: 'x' holds numbers such as ",
    ),
}
"""The events have to be read; the run directory says what became of it."""

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "text": lambda _: b"text",
    "nothing": lambda _: b"",
    "a flipped bit": lambda content: content[:99] + bytes([content[99] ^ 1]) + content[100:],
}

ROWS = {**NO_TORCH, **WITH_TORCH, **EVENTS}


@pytest.fixture(scope="module")
def outcomes(
    finished: Path, event_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("bad")
    shutil.copytree(finished, folder / "runs")
    (run,) = (path.parent for path in folder.glob("runs/toy/spos/*/result.json"))
    for damage, spoil in DAMAGES.items():
        for file in ("model.ckpt", "config.yaml", "result.json"):
            shutil.copytree(run, spoiled := folder / f"{damage}-{file}")
            (spoiled / file).write_bytes(spoil((spoiled / file).read_bytes()))
    (folder / "text.h5").write_text("text")
    for name, count in (("x.h5", 5), ("none.h5", 0)):
        with h5py.File(folder / name, "w") as file:
            file["x"] = np.zeros((count, 2))
    with h5py.File(event_file) as file:
        events = {name: file[name][:20] for name in file}
    for name, changed in spoilt(events):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            for key, values in {**events, **changed}.items():
                file[key] = values
    rows = [[word.replace("RUN", run.name) for word in words] for words, _ in ROWS.values()]
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("bad_inputs.py"))],
        cwd=folder,
        input=json.dumps(rows),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(ROWS, json.loads(done.stdout), strict=True))


def spoilt(events: dict[str, np.ndarray]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Events that no detector has seen."""
    jet, tau, image = (events[name].copy() for name in ("jet", "tau", "image"))
    jet[3, 0, 0], image[2, 1, 0, 4, 4] = 1e30, 1e6
    tau[..., 2] *= 180 / np.pi
    yield "no_jets", {name: values[:0] for name, values in events.items()}
    yield from (("huge", {"jet": jet}), ("degrees", {"tau": tau}), ("pixels", {"image": image}))


@pytest.mark.parametrize("name", ROWS)
def test_a_bad_input_is_one_clear_line(outcomes: dict[str, dict[str, Any]], name: str) -> None:
    found, said = outcomes[name], ROWS[name][1]
    assert found["status"] in (1, 2), found
    lines = found["error"].splitlines()
    assert lines[-1].startswith("error: "), found["error"]
    assert said in lines[-1]
    assert "Traceback" not in found["error"] + found["out"]
    if name in EVENTS:
        assert {Path(one).name for one in found["changed"]} <= {
            "config.yaml",
            "log",
            "result.json",
        } | {one for path in found["changed"] if (one := Path(path).name).endswith(".lock")}
    else:
        assert found["changed"] == []
        assert len(lines) == 1
    if name in NO_TORCH:
        assert not found["torch"]
