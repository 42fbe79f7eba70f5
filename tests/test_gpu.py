"""Runs on a graphics card (marked `gpu`, skipped where there is none), and what shows them here.

On the device `meta` tensors have a shape and no numbers: an operation that reads a number, for
which a graphics card would be waited for, or that joins tensors of two devices, raises an error.
"""

from __future__ import annotations

import json
import math
import re
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from conftest import QUIET, ROOT, compose_config, renew_checksums
from golden_numbers import differences, numbers_of_run
from golden_runs import COMMON, RUNS, TOY, YOTO
from killable_run import python
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.plugins.precision import MixedPrecision
from pytorch_lightning.strategies import SingleDeviceStrategy
from scan_process import said, sweep
from test_engines import needs
from test_golden import do_run, golden, interrupted_in_the_second_epoch, overrides
from torch.utils._pytree import tree_leaves

from msnas.chain.chain import Path as Chosen
from msnas.data.module import StageData
from msnas.errors import ConfigError
from msnas.evaluate import Settings, evaluate_run
from msnas.methods.asng import ASNGSearch
from msnas.methods.method import SearchMethod
from msnas.opened import open_run
from msnas.parts import Parts
from msnas.pipeline import ready_parts
from msnas.plan import make_plan
from msnas.training.course import set_course
from msnas.training.posttraining import Posttraining
from msnas.training.pretraining import Pretraining
from msnas.training.progress import Display
from msnas.training.stage_module import StageModule
from msnas.weighting.conflict import Conflict

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec"),
    pytest.mark.filterwarnings("ignore:.*overridden `on_before_batch_transfer`"),
]
GPU = pytest.mark.gpu
DEVICES = ["cpu", pytest.param("gpu", marks=GPU)]

DRAWS_ON_THE_CARD = ("dummies", "darts_second_order")
"""Runs of other numbers on a card: it has its own N(0, 1); rounding divides by a small step."""

ON_A_CARD = [
    name
    for name in RUNS
    if name not in DRAWS_ON_THE_CARD and not name.startswith(("weighting_", "shared_layers_"))
]


def on(device: str, name: str, output: Path, event_file: Path) -> list[str]:
    """Overrides of a golden run on a device."""
    return [*overrides(name, output, event_file), f"trainer.accelerator={device}"]


@pytest.fixture(autouse=True)
def _plain_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    """cuDNN rounds what it multiplies to 10 bits unless it is told otherwise."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


# --- no step waits for the card -------------------------------------------------------------------


class Meta(SingleDeviceStrategy):
    """Trains on the device without numbers; there is nothing to bring back from it."""

    def __init__(self) -> None:
        super().__init__(device=torch.device("meta"), accelerator=CPUAccelerator())

    def setup_environment(self) -> None:
        pass

    def reduce(self, *_: Any, **__: Any) -> int:
        """The number of blocks: there are some."""
        return 1

    def teardown(self) -> None:
        pass


def stages(parts: Parts, path: Chosen) -> Iterator[tuple[str, StageModule]]:
    """The training of a candidate of each task, of the super-network and of a chain.

    Of a conditioned chain the last two, as its candidates are pre-trained unconditioned.
    """
    fit, chain = parts.fit, parts.chain
    common: dict[str, Any] = {"optimizer": fit.optimizer, "seed": 0}
    parts.condition()
    if parts.conditioning is None:
        for level, name in enumerate(path):
            if chain.trainable(level, name) and chain.tasks[level].supervised:
                yield "pretrain", Pretraining(chain=chain, level=level, name=name, **common)
    if isinstance(parts.method, SearchMethod):
        weighting = fit.fresh_weighting()
        yield "search", parts.method.search(chain=chain, weighting=weighting, **common)
    if not path:
        return
    weighting = fit.fresh_weighting()
    yield "posttrain", Posttraining(chain=chain.only(path), weighting=weighting, **common)


def train(parts: Parts, stage: str, module: StageModule, **how: Any) -> None:
    """Train for an epoch, as `StageTrainer` does."""
    recipe = parts.plan.config["recipe"]
    data = StageData(
        parts.events,
        reads=module.reads(),
        paired=module.learns_from_validation,
        batch=recipe[stage]["batch"],
        evaluation_batch=recipe["evaluation_batch"],
        seed=0,
        conditioning=None if stage == "pretrain" else parts.conditioning,
    )
    trainer = pl.Trainer(
        **how,
        max_epochs=1,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    steps = data.train_dataloader().steps
    set_course(module, recipe[stage], steps=steps, machine=parts.plan.machine)
    module.train()
    trainer.fit(module, datamodule=data)
    assert module._train_events > 0


STEPS = {
    "spos": (*TOY, "task_weight=0.3"),
    "asng": (*TOY, "method=asng"),
    "darts": (*TOY, "method=darts"),
    "mixture": (*TOY, "method=darts", "method.relaxation=softmax"),
    "gumbel": (*TOY, "method=darts", "method.relaxation=gumbel"),
    "conditioned": (*TOY, YOTO, "conditioning.parameters=[task_weight]"),
    "three tasks": ("problem=toy3", "data.events=300"),
    "digits": ("problem=digit_sum", "data.source.pairs=400", "candidate/digit_recognition=[cnn]"),
    "taus": (
        *("data.file={few}", "data.events=300", "augment=turns", "method.sampling=fair"),
        *("candidate/tau_calibration=[cnn,mlp,sf]", "candidate/higgs_id=[lstm,mlp,mass]"),
    ),
}
"""By name the overrides of runs whose steps are tried; the recipe of `taus` clips and averages."""

LESS_OFTEN = ("mixture", "three tasks", "digits")

READS_NUMBERS = {
    "deep_sets": ("data.file={few}", "data.events=300", "candidate/tau_calibration=[deep_sets]"),
    "order 2": (*TOY, "method=darts", "method.relaxation=softmax", "method.order=2"),
    "freezing": (*TOY, "method=darts", "method.freeze=0"),
}
"""Steps that cannot do without: how many pixels are filled, whether a gradient is zero."""

AT = {"deep_sets": "pretrain", "order 2": "search", "freezing": "search"}


def ready(words: tuple[str, ...], event_file: Path, output: Path) -> Parts:
    own = [one.format(few=event_file) for one in words]
    config = compose_config([*COMMON, *own, "recipe.optimizer.fused=false", f"output={output}"])
    return ready_parts(make_plan(config), Display(QUIET))


@pytest.fixture
def _without_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    """How the tasks' gradients agree is read once an epoch."""
    monkeypatch.setattr(
        "msnas.weighting.weighting.measure_conflict",
        lambda losses, shared: Conflict(norms=[0.0] * len(losses), cosines={}),
    )


@pytest.mark.usefixtures("_without_conflict")
@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=[pytest.mark.slow] * (one in LESS_OFTEN)) for one in STEPS]
)
def test_no_step_waits_for_a_card(
    name: str, event_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "asng":  # the next draw depends on which of two losses is smaller
        monkeypatch.setattr(ASNGSearch, "learn_from_validation", lambda *_: None)
    parts = ready(STEPS[name], event_file, tmp_path)
    for stage, module in stages(parts, parts.chain.paths()[0]):
        if stage == "search" or name == "spos":  # the other stages are alike in all of them
            train(parts, stage, module, strategy=Meta())
            assert {one.device.type for one in module.parameters()} == {"meta"}


@pytest.mark.usefixtures("_without_conflict")
@pytest.mark.parametrize("name", READS_NUMBERS)
def test_a_step_that_reads_a_number_is_seen(name: str, event_file: Path, tmp_path: Path) -> None:
    parts = ready(READS_NUMBERS[name], event_file, tmp_path)
    stage, module = next(one for one in stages(parts, parts.chain.paths()[0]) if one[0] == AT[name])
    with pytest.raises((RuntimeError, NotImplementedError), match=r"[Mm]eta"):
        train(parts, stage, module, strategy=Meta())


@GPU
@pytest.mark.usefixtures("_without_conflict")
@pytest.mark.parametrize("name", [one for one in STEPS if one != "asng"])
def test_pytorch_itself_sees_no_step_wait(
    name: str, event_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = StageModule.training_step
    seen = []

    def watched(self: StageModule, block: Any, batch_idx: int) -> None:
        seen.extend({one.device.type for one in tree_leaves(block) if one is not None})
        torch.cuda.set_sync_debug_mode("error")
        try:
            step(self, block, batch_idx)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(StageModule, "training_step", watched)
    words = [one.format(few=event_file) for one in STEPS[name]]
    do_run([*COMMON, *words, "trainer.accelerator=gpu", f"output={tmp_path}"])
    assert set(seen) == {"cuda"}


def test_batches_for_a_card_are_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card copies them by itself; for the processor they stay where they are."""
    pinned: list[torch.Tensor] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda one: pinned.append(one) or one)
    batch = {"x": torch.zeros(2), "y": torch.ones(2)}
    module = Pretraining.__new__(Pretraining)
    for device, count in (("cpu", 0), ("cuda", 4)):
        monkeypatch.setattr(Pretraining, "device", torch.device(device))
        found = module.on_before_batch_transfer([(batch, None), (batch, None)], 0)
        assert found == [(batch, None), (batch, None)]
        assert len(pinned) == count


# --- whole runs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "name"),
    [("cpu", "spos"), *(pytest.param("gpu", name, marks=GPU) for name in ON_A_CARD)],
)
def test_a_run_has_the_numbers_of_the_processor(
    device: str, name: str, event_file: Path, tmp_path: Path
) -> None:
    """Up to what rounding explains: 1e-3 of a loss, 1e-2 of a sum of weights."""
    _, directory = do_run(on(device, name, tmp_path, event_file))
    found = numbers_of_run(directory)
    assert not differences(found, golden(name)["numbers"], exact=False)
    read = torch.load(directory / "model.ckpt", weights_only=True)
    assert {one.device.type for one in read["weights"].values()} == {"cpu"}


@pytest.mark.usefixtures("_without_conflict")
def test_alpha_is_not_divided_by_the_scale_of_16_mixed(event_file: Path, tmp_path: Path) -> None:
    """Its gradient is not scaled; Adam's epsilon would hide what is left of it."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**24)
    found = []
    for plugins in ([], [MixedPrecision("16-mixed", "cpu", scaler=scaler)]):
        parts = ready(STEPS["darts"], event_file, tmp_path)
        module = next(one for stage, one in stages(parts, ()) if stage == "search")
        train(parts, "search", module, accelerator="cpu", plugins=plugins)
        found.append(torch.cat([one.detach() for one in module.alpha]))
    assert found[0].abs().max() > 0.05
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0.03)


@pytest.mark.parametrize(
    ("device", "precision"),
    [
        pytest.param("cpu", "bf16-mixed", marks=pytest.mark.slow),
        ("cpu", "16-mixed"),
        pytest.param("gpu", "bf16-mixed", marks=GPU),
        pytest.param("gpu", "16-mixed", marks=GPU),
    ],
)
def test_other_precisions_are_finite_and_near(device: str, precision: str, tmp_path: Path) -> None:
    words = (*TOY, "method=darts", f"trainer.precision={precision}")
    run = [*COMMON, *words, f"trainer.accelerator={device}", f"output={tmp_path}"]
    if (device, precision) == ("cpu", "16-mixed"):
        with pytest.raises(ConfigError, match=r"^trainer\.precision: 16-mixed needs a graphics"):
            do_run(run)
        return
    result, _ = do_run(run)
    expected = golden("darts_expected")["numbers"]["metrics"]["valid"]["loss"]
    # 16-mixed leaves out steps until its scale fits
    near = {"bf16-mixed": 0.05, "16-mixed": 0.2}[precision]
    assert result["metrics"]["valid"]["loss"] == pytest.approx(expected, rel=near)
    for task, alpha in result["probabilities"].items():
        assert alpha == pytest.approx(
            golden("darts_expected")["numbers"]["probabilities"][task], abs=near
        )


def test_16_mixed_does_not_clip() -> None:
    words = ("+recipe.search.clip=0.1", "trainer.precision=16-mixed")
    with pytest.raises(ConfigError, match=r"^recipe\.search\.clip: 16-mixed scales gradients"):
        make_plan(compose_config([*COMMON, *TOY, *words]))


@pytest.mark.parametrize("device", [pytest.param("gpu", marks=GPU)])
@pytest.mark.parametrize("name", ["spos", "asng", "yoto_task_weight"])
def test_an_interrupted_run_goes_on(
    device: str, name: str, event_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the processor: test_golden.py."""
    _, whole = do_run(on(device, name, tmp_path / "whole", event_file))
    with interrupted_in_the_second_epoch(tmp_path / "cut", monkeypatch):
        do_run(on(device, name, tmp_path / "cut", event_file))
    result, again = do_run(on(device, name, tmp_path / "cut", event_file))
    assert result["stages"]["pretrain"]["cached"]
    assert not differences(numbers_of_run(again), numbers_of_run(whole), exact=False)


@contextmanager
def no_card(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr("torch.cuda.is_available", lambda: False)
        patched.setattr("msnas.plan._has_card", lambda: False)
        yield


@pytest.mark.parametrize("device", DEVICES)
def test_its_predictions_need_no_card(
    device: str, event_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs and numbers of the test events are had again where there is no card."""
    result, directory = do_run(on(device, "spos", tmp_path, event_file))
    if device == "cpu":  # a run from elsewhere, as far as its configuration goes
        written = directory / "config.yaml"
        changed = written.read_text().replace("accelerator: cpu", "accelerator: gpu")
        assert changed != written.read_text()
        written.write_text(changed)
        renew_checksums(directory)
    with no_card(monkeypatch):
        opened = open_run(directory, shifts=(), changes={})
        raw = opened.parts.events.raw("test")
        outputs = opened.trained.predict(raw, conditions={}, batch=50)
        (again,) = evaluate_run(Settings(run=str(directory)), {})
    with h5py.File(directory / "outputs.h5") as file:
        for name, values in outputs.items():
            np.testing.assert_allclose(values, file[f"{name}/output"][()], rtol=1e-3, atol=1e-4)
    assert again["values"]["loss"] == pytest.approx(result["metrics"]["test"]["loss"], rel=1e-3)


# --- engines --------------------------------------------------------------------------------------

ENGINES = {
    "basic": (),
    "joblib": ("hydra.launcher.n_jobs=4",),
    "submitit_local": (),
    "ray": ("+hydra.launcher.ray.remote.num_gpus=0.25",),
}


@GPU
@pytest.mark.parametrize("engine", ENGINES)
def test_several_processes_share_a_card(engine: str, tmp_path: Path) -> None:
    if engine not in ("basic", "joblib"):
        needs("hydra_ray_launcher" if engine == "ray" else "hydra_submitit_launcher")
    words = [one for one in COMMON if not one.startswith("trainer")]
    scan = (*words, *TOY, "report=false", "task_weight=0.2,0.8", "seed=0,1")
    assert sweep(tmp_path / "cpu", *scan, "trainer=cpu", "hydra/launcher=basic") == 0
    launched = (f"hydra/launcher={engine}", *ENGINES[engine])
    assert sweep(tmp_path / "gpu", *scan, "trainer=gpu", *launched) == 0, said(tmp_path / "gpu")
    losses = [
        {
            (str(result["task_weights"]), result["seed"]): result["metrics"]["valid"]["loss"]
            for path in (tmp_path / device).glob("runs/toy/spos/*/result.json")
            for result in [json.loads(path.read_text())]
        }
        for device in ("cpu", "gpu")
    ]
    assert len(losses[0]) == 4
    assert all(map(math.isfinite, losses[1].values()))
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


# --- the benchmark --------------------------------------------------------------------------------


BENCHMARK = str(ROOT / "benchmarks" / "gpu.py")


def test_the_benchmark_says_that_it_needs_a_card(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", [BENCHMARK])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(BENCHMARK, run_name="__main__")
    assert ended.value.code == (
        "error: device=gpu: PyTorch sees no graphics card; device=cpu does without"
    )
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_the_benchmark_on_the_processor() -> None:
    small = ("seeds=2", "weights=0.2,0.8", "processes=2", *TOY, *COMMON[2:])
    done = python(BENCHMARK, "device=cpu", *small)
    assert done.returncode == 0, done.stderr
    number = r"\d+\.\d+"
    stages = rf"pretrain {number}, search {number}, posttrain {number}"
    assert re.fullmatch(
        rf"run on cpu: {number} s \({stages}\), validation loss {number}\n"
        rf"step of plane-logistic on cpu: {number} ms\n"
        rf"scan on cpu by 2 processes: 4 runs, {number} s, {number} s a run\n",
        done.stdout,
    )
