"""The installed package in an empty folder, far from the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CONF, ROOT

TOY = ("problem=toy", "debug=smoke", "logger=none", "trainer=cpu")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a wheel of this checkout is installed; built from a copy, which leaves nothing here."""
    place = tmp_path_factory.mktemp("wheel")
    for name in ("src", "conf"):
        without = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, place / "copy" / name, ignore=without)
    for name in ("pyproject.toml", "setup.py", "README.md"):
        shutil.copy(ROOT / name, place / "copy")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    alone = ["--no-deps", "--no-index"]
    for words in (
        ["wheel", *alone, "--no-build-isolation", f"--wheel-dir={place}", str(place / "copy")],
        ["install", *alone, f"--target={place / 'there'}", "--find-links", str(place), "msnas"],
    ):
        done = subprocess.run([*pip, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    shutil.rmtree(place / "copy")
    return place / "there"


def msnas(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command as it is installed."""
    return subprocess.run(
        [sys.executable, str(installed / "bin" / "msnas"), *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_holds_the_configuration(installed: Path) -> None:
    def content(folder: Path) -> dict[str, str]:
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_text() for path in files}

    assert content(installed / "msnas" / "conf") == content(CONF)


def test_a_run(installed: Path, tmp_path: Path) -> None:
    done = msnas(installed, tmp_path, "train", *TOY)
    assert done.returncode == 0, done.stderr
    (result,) = tmp_path.glob("runs/toy/spos/*/result.json")
    assert json.loads(result.read_text())["status"] == "finished"


@pytest.mark.slow
def test_a_scan_and_what_reads_it(installed: Path, tmp_path: Path) -> None:
    done = msnas(installed, tmp_path, "sweep", *TOY, "seed=0", "task_weight=0.5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 runs finished" in done.stdout
    assert list(tmp_path.glob("sweeps/*/report/index.html"))
    (result,) = tmp_path.glob("runs/toy/spos/*/result.json")
    done = msnas(installed, tmp_path, "evaluate", f"run={result.parent}")
    assert done.returncode == 0, done.stderr
    assert "toy_regression/mse" in done.stdout


def test_what_it_says(installed: Path, tmp_path: Path) -> None:
    done = msnas(installed, tmp_path, "train", "--help")
    assert done.returncode == 0
    assert "  msnas train method=spos task_weight=0.9 " in done.stdout
    assert "\nproblem: digit_sum, htautau, " in done.stdout
    done = msnas(installed, tmp_path, "train", "trainer=cpu")
    assert done.returncode == 1
    assert done.stderr.startswith("error: data.file: data/htautau.h5 not found (looked in ")
    assert "; data.file=<path> names an HDF5 file " in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
