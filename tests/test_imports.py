"""What is imported when: PyTorch for work alone, its compiler and others for those who use them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from msnas import plan

PROGRAM = """
import sys
import msnas.pipeline
heavy = {"torch._dynamo", "scipy.signal", "scipy.stats", "pandas", "plotly", "gpytorch", "sklearn"}
print(sorted(heavy & sys.modules.keys()))

import scipy.signal, torch
from msnas.libraries import OptimizedModule, pytorch_lightning
module = pytorch_lightning.LightningModule()
print(isinstance(module, OptimizedModule), "torch._dynamo" in sys.modules)
compiled = torch.compile(module)
print(isinstance(module, OptimizedModule), isinstance(compiled, OptimizedModule))
from pytorch_lightning.utilities.compile import from_compiled
print(from_compiled(compiled) is module, len(scipy.signal.windows.hamming(3)))
"""


def test_the_training_side_imports_what_it_needs_and_spoils_nothing() -> None:
    source = str(Path(plan.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=False,
    )
    expected = ["[]", "False False", "False True", "True 3"]
    assert done.stdout.splitlines() == expected, done.stderr


def test_a_run_says_where_it_is_before_pytorch_is_imported(tmp_path: Path) -> None:
    program = """
import sys
sys.modules["torch"] = None  # importing it fails
from msnas.cli import main
main(["train", "problem=toy", "logger=none", "trainer=cpu"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(plan.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("Run: runs/toy/spos/")
    assert "torch" in done.stderr
    assert done.returncode != 0
    assert not list(tmp_path.iterdir())


@pytest.fixture
def with_cards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A PyTorch that was built for graphics cards; what it said is forgotten afterwards."""
    monkeypatch.setattr("importlib.metadata.version", lambda _: "2.13.0")
    plan._has_card.cache_clear()
    yield
    plan._has_card.cache_clear()


@pytest.mark.usefixtures("with_cards")
def test_without_a_device_pytorch_is_not_asked_for_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "DEVICES", ("/dev/none", "/dev/no_other"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    assert not plan._has_card()


@pytest.mark.usefixtures("with_cards")
@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_with_a_device_pytorch_says_whether_there_is_a_card(
    platform: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "DEVICES", (str(tmp_path),) if platform == "linux" else ())
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert plan._has_card()
