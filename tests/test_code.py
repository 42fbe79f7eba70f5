"""Keys know the code: what is edited is trained again, and said."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import ROOT, epochs

from msnas.code import PARTS, _code_of, _read, _sources_from, changed, code_of
from msnas.identity import entry_name


def sources(target: str) -> set[str]:
    return {name for name in code_of({"_target_": target}) if name.endswith(".py")}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of a user's own: a class, what its module imports, and what it does not.

    One folder is no package by itself, as Python allows; a module lies beside the package.
    """
    folder = tmp_path / "theirs"
    for name, text in {
        "__init__.py": "",
        "models/net.py": '''
            """A net."""
            import torch
            from typing import TYPE_CHECKING
            from . import layers
            from ..numbers import HALF
            from msnas.candidates.mlp import MLP
            from msnas.errors import ConfigError
            import common.words
            if TYPE_CHECKING:
                from theirs import shown
            class Net(torch.nn.Module):
                """Its text."""
                half = HALF
            ''',
        "models/layers.py": "def late():\n    import theirs.late\n",
        "numbers.py": "HALF = .5",
        "late.py": "X = 1",
        "shown.py": "Y = 1",
        "other.py": "Z = 1",
        "../common/words.py": "W = 1",
        "../common/others.py": "V = 1",
    }.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(textwrap.dedent(text))
    (tmp_path / "alone.py").write_text("class Alone: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    return folder


def forget() -> None:
    """A source is read once in a process."""
    _code_of.cache_clear()
    _sources_from.cache_clear()
    _read.cache_clear()


def code_as_of_now() -> dict[str, str]:
    forget()
    return dict(code_of({"_target_": "theirs.models.net.Net"}))


@pytest.mark.usefixtures("package")
def test_a_class_is_told_by_its_module_and_what_that_uses() -> None:
    assert sources("theirs.models.net.Net") == {
        "theirs/models/net.py",
        "theirs/models/layers.py",
        "theirs/numbers.py",
        "theirs/late.py",
        "msnas/candidates/candidate.py",
        "msnas/candidates/mlp.py",
        "common/words.py",
    }
    assert sources("alone.Alone") == {"alone.py"}
    assert sources("nowhere.at.All") == set()


@pytest.mark.parametrize(
    ("name", "before", "after", "counts"),
    [
        ("models/net.py", "half = HALF", "half = 2 * HALF", True),
        ("models/net.py", "half = HALF", "half = HALF  # a comment", False),
        ("models/net.py", "Its text.", "Another text.", False),
        ("models/net.py", "half = HALF", "half = (\n        HALF\n    )", False),
        ("numbers.py", ".5", ".25", True),
        ("late.py", "1", "2", True),
        ("shown.py", "1", "2", False),
        ("other.py", "1", "2", False),
        ("../common/words.py", "1", "2", True),
        ("../common/others.py", "1", "2", False),
    ],
)
def test_code_that_counts(package: Path, name: str, before: str, after: str, counts: bool) -> None:
    first = code_as_of_now()
    path = package / name
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    then = code_as_of_now()
    said = f"theirs/{name}".replace("theirs/../", "")
    assert changed(first, then) == ([said] if counts else [])


def test_packages_that_are_installed_side_by_side_are_strangers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "site-packages"
    place.mkdir()
    (place / "alike.py").write_text("import common\nclass Net: ...\n")
    (place / "common.py").write_text("W = 1\n")
    monkeypatch.syspath_prepend(place)
    assert sources("alike.Net") == {"alike.py"}
    (place / "broken.py").write_text("class Net(:\n")
    assert sources("broken.Net") == {"broken.py"}  # the import has an error for it


def test_of_this_package_the_parts_count() -> None:
    assert sources("msnas.candidates.tau_cnn.TauCNN") == {
        "msnas/candidates/candidate.py",
        "msnas/candidates/tau_cnn.py",
        "msnas/candidates/convolutions.py",
        "msnas/candidates/sparse_convolutions.py",
        "msnas/candidates/sparse_kernels.py",
        "msnas/candidates/mlp.py",
        "msnas/candidates/of_jets.py",
    }
    used = sources("msnas.methods.darts.DARTS")
    assert {"msnas/methods/darts.py", "msnas/chain/chain.py"} <= used
    assert {name.split("/")[1].removesuffix(".py") for name in used} <= set(PARTS)
    for part in PARTS:
        assert (ROOT / "src/msnas" / part).is_dir() or (ROOT / f"src/msnas/{part}.py").is_file()


def test_a_library_is_told_by_its_version() -> None:
    code = code_of({"a": [{"_target_": "torchmetrics.classification.BinaryAUROC"}]})
    assert set(code) == {"torch", "torchmetrics"}
    assert code["torch"].startswith("2.")


def test_names_of_the_same_settings_begin_alike() -> None:
    identity = {"x": 1, "y": {"_target_": "msnas.candidates.mlp.MLP"}}
    name, other = (entry_name(identity, code) for code in (code_of(identity), {"torch": "3"}))
    assert name != other
    assert name.split("-")[0] == other.split("-")[0]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project whose code may be edited."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("*.egg-info"))
    for name in ("conf", "train.py"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def train(checkout: Path, *words: str) -> str:
    short = ["problem=toy", "data.events=200", "logger=none", "trainer=cpu", *epochs(1)]
    short += ["candidate/toy_regression=[curve,plane]", "candidate/toy_classification=[logistic]"]
    done = subprocess.run(
        [sys.executable, "train.py", *short, *words],
        cwd=checkout,
        env={"PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_edited_code_is_trained_again_and_restored_code_is_found_again(checkout: Path) -> None:
    """A comment, then a candidate's forward; and everything as it was."""
    first = train(checkout)
    path = checkout / "src/msnas/candidates/toy.py"
    original = path.read_text()
    assert "# a comment" not in original
    path.write_text(original + "\n# a comment\n")
    assert "This run is finished" in train(checkout)
    path.write_text(original + "\n\nMORE = 1\n")
    again = train(checkout)
    assert "trained again: msnas/candidates/toy.py changed" in again
    stages = again.split("Stages (* from the cache)")[1]
    assert "toy_regression/plane 1 *" in stages  # another class
    assert "toy_regression/curve 1," in stages
    assert "super-network 1 *" not in stages
    path.write_text(original)
    restored = train(checkout)
    assert "This run is finished" in restored
    shown = [one.split("Chains on")[1].split("Stages")[0] for one in (first, restored)]
    assert shown[0] == shown[1]
