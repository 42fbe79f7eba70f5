"""What several test files use: few events, composed configurations, small runs."""

from __future__ import annotations

import functools
import json
import os
import pickle
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from msnas.storage import write_record

if TYPE_CHECKING:
    from msnas.scan.compose import Composer

# a tracker must not look for a network or an account, and the display has one width
os.environ |= {"WANDB_MODE": "offline", "COLUMNS": "200", "OMP_NUM_THREADS": "1"}

# in the background of a shell Ctrl-C is ignored, by everything that is begun from there as well
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
HTAUTAU_TASKS = list(OmegaConf.load(CONF / "problem" / "htautau.yaml").problem.chain)

QUIET = Console(quiet=True)
STAGES = ("pretrain", "search", "posttrain")

Compose = Callable[..., DictConfig]


def epochs(count: int) -> list[str]:
    """Overrides: this many epochs of each stage."""
    return [f"recipe.{stage}.epochs={count}" for stage in STAGES]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew", action="store_true", help="write the golden numbers anew")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("PyTorch sees no graphics card")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Two processes with two threads each on two cores are many times slower than one."""
    import torch

    from msnas import elsewhere

    torch.set_num_threads(1)
    elsewhere.MOST = 1


def _first_of(name: str, count: int, folder: Path) -> Path:
    """The first so many events of each class of an embedded file."""
    path = folder / name
    with h5py.File(ROOT / "data" / name, "r") as whole, h5py.File(path, "w") as few:
        label = whole["label"][()]
        members = [np.flatnonzero(label == one)[:count] for one in np.unique(label)]
        chosen = np.sort(np.concatenate(members))
        reach = chosen[-1] + 1
        for key, item in whole.items():
            few[key] = item[:reach][chosen]
    return path


@pytest.fixture(scope="session")
def event_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 + 300 events of two taus; the whole file takes a second to read."""
    return _first_of("htautau.h5", 300, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def jet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 + 200 jets."""
    return _first_of("tau_jet.h5", 200, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def fakes_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 events of each of four classes, two jets each."""
    return _first_of("htautau_fakes.h5", 60, tmp_path_factory.mktemp("data"))


def small_run(event_file: Path, output: Path) -> list[str]:
    """Overrides of a run of seconds: 300 events, two epochs a stage, small networks, no judge."""
    return [
        "trainer=cpu",
        "logger=none",
        "recipe=paper",
        "frame=detector",
        f"data.file={event_file}",
        "data.events=300",
        f"output={output}",
        "candidate/tau_calibration=[mlp,sf]",
        "candidate/higgs_id=[mlp,mass]",
        "tasks.tau_calibration.validity=null",
        *(
            f"recipe.{stage}.{name}={value}"
            for stage in ("pretrain", "search", "posttrain")
            for name, value in (("epochs", 2), ("batch", 64))
        ),
    ]


def finished_below(folder: Path) -> list[Path]:
    """Directories below `folder` of runs that are finished, not failed."""
    return [
        path.parent
        for path in folder.rglob("result.json")
        if json.loads(path.read_text())["status"] == "finished"
    ]


def renew_checksums(directory: Path) -> None:
    """Have a run's result vouch for the files as they are now, as somebody who means harm can."""
    result = json.loads((directory / "result.json").read_text())
    kept = {key: value for key, value in result.items() if key not in ("files", "sha256")}
    files = [name for name in result.get("files", {}) if (directory / name).is_file()]
    write_record(directory / "result.json", kept, files=files)


def telling_imports(folder: Path) -> Path:
    """A script that does as train.py does, and says at the end whether PyTorch was imported."""
    script = folder / "imports.py"
    script.write_text(
        "import atexit, runpy, sys\n"
        "atexit.register(lambda: print('imported', 'torch' in sys.modules))\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        f"runpy.run_path({str(ROOT / 'train.py')!r}, run_name='__main__')\n"
    )
    return script


@functools.cache
def composer(config_name: str = "config") -> Composer:
    from msnas.scan.compose import Composer

    return Composer([str(CONF)], config_name)


def compose_config(overrides: list[str]) -> DictConfig:
    """The configuration of `python train.py <overrides>`, at a tenth of the cost.

    That it is the one Hydra composes: test_scan.py.
    """
    return composer().compose(overrides)


def composed_by_hydra(overrides: list[str]) -> DictConfig:
    import hydra

    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        return hydra.compose("config", overrides=overrides)


@pytest.fixture
def compose(event_file: Path, tmp_path: Path) -> Compose:
    """Compose a small run below `tmp_path`, with any further overrides."""

    def composed(*overrides: str) -> DictConfig:
        return compose_config([*small_run(event_file, tmp_path / "runs"), *overrides])

    return composed


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run and its store."""
    output = tmp_path_factory.mktemp("finished") / "runs"
    from hostile_run import TINY

    from msnas.run import run

    words = ["problem=toy", "data.events=200", "trainer=cpu", "logger=none", f"output={output}"]
    run(compose_config([*words, *TINY]), console=QUIET)
    return output


@pytest.fixture
def theirs(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run directory, to be made hostile; a pickled trap lies in it."""
    from hostile_run import SECRET, Trap

    monkeypatch.setenv("SECRET", SECRET)
    monkeypatch.chdir(tmp_path)
    (directory,) = (path.parent for path in finished.rglob("result.json"))
    copied = tmp_path / "theirs" / "toy" / "spos" / directory.name
    shutil.copytree(directory, copied)
    (tmp_path / "extra.bin").write_bytes(pickle.dumps(Trap(tmp_path / "mark")))
    return copied
