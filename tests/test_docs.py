"""The documentation's commands and examples do what it says."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from documented import blocks, small
from killable_run import python

ROOT = Path(__file__).resolve().parents[1]


def readme_commands() -> list[str]:
    return [line for block in blocks("README.md", "bash") for line in block.strip().splitlines()]


OWN = "A package of your own"


def sections() -> dict[str, str]:
    """The sections of docs/extend.md by title."""
    text = (ROOT / "docs/extend.md").read_text()
    return dict(part.split("\n", 1) for part in text.split("\n## ")[1:])


def files(section: str) -> dict[str, str]:
    """The files of a section by path, which is their first line."""
    found = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", section, flags=re.DOTALL)
    return dict(found)


def run(words: list[str], *, folder: Path) -> subprocess.CompletedProcess[str]:
    source = folder / "src" if (folder / "src").is_dir() else ROOT / "src"
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project to run the README in, with its commands' order kept."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("conf", "data", "train.py", "sweep.py"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "tests").symlink_to(ROOT / "tests")
    return folder


def test_readme_names_commands() -> None:
    commands = readme_commands()
    assert commands[:2] == ["make train", "make test"]
    assert sum(command.startswith("python ") for command in commands) >= 9


@pytest.mark.parametrize("target", ["train", "test", "check", "docs"])
def test_make_targets_install_first(target: str, tmp_path: Path) -> None:
    for path in (ROOT / "Makefile", ROOT / "pyproject.toml", *ROOT.glob("requirements*.txt")):
        shutil.copy(path, tmp_path)
    printed = subprocess.run(
        ["make", "-n", target], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert printed.index("-m venv") < printed.index("pip install")
    expected = {
        "train": "train.py method=spos task_weight=0.9",
        "test": "-m pytest",
        "check": "mypy",
        "docs": "-m sphinx",
    }[target]
    assert printed.index("pip install") < printed.index(expected)


def test_requirements_pin_everything_that_the_package_needs() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    assert all("==" in line or line.startswith(("#", "-e")) for line in lines if line)
    project = (ROOT / "pyproject.toml").read_text()
    named = re.search(r"dependencies = \[(.*?)\]", project, flags=re.DOTALL)
    assert named is not None
    assert set(re.findall(r'"([^"]+)"', named.group(1))) <= pinned


@pytest.mark.parametrize("command", [c for c in readme_commands() if c.startswith("python ")])
def test_readme_command(command: str, checkout: Path) -> None:
    words = shlex.split(command)[1:]
    if words[0] in ("train.py", "sweep.py"):
        # the converted fixtures hold 154 events: take them all
        words = small(words) if "data.file=my.h5" not in words else small(words, events="")
        words = [word for word in words if word]
    if "<key>" in command:
        runs = [path.parent for path in checkout.glob("runs/htautau/spos/*/result.json")]
        assert runs, "the commands before leave a run"
        words = [word.replace("runs/htautau/spos/<key>", str(runs[0])) for word in words]
    done = python(*words, folder=checkout)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Warning" not in done.stderr
    assert "Traceback" not in done.stderr


EXAMPLES = {
    title: shlex.split(re.findall(r"```bash\npython (.*?)\n```", section, flags=re.DOTALL)[0])
    for title, section in sections().items()
    if title != OWN
}
ONE_AFTER_ANOTHER = """
import json, os, runpy, sys
import msnas.pipeline, pytorch_lightning
for number, words in enumerate(json.loads(sys.argv[1])):
    if (process := os.fork()) == 0:
        said = os.open(f"said{number}", os.O_WRONLY | os.O_CREAT)
        os.dup2(said, 1), os.dup2(said, 2)
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
        sys.exit()
    os.waitpid(process, 0)
"""
"""Commands in processes that have PyTorch imported already."""


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the files of all sections, their commands done."""
    folder = tmp_path_factory.mktemp("extended")
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("data", "train.py"):
        (folder / name).symlink_to(ROOT / name)
    for title in EXAMPLES:
        for name, text in files(sections()[title]).items():
            assert len(text.strip().splitlines()) < 33, "an example is short"
            assert not (folder / name).exists(), "an example adds files and edits none"
            (folder / name).write_text(text)
    commands = [
        [*small(words), f"output=runs{number}"] for number, words in enumerate(EXAMPLES.values())
    ]
    done = run(["-c", ONE_AFTER_ANOTHER, json.dumps(commands)], folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("title", EXAMPLES)
def test_extension(title: str, extended: Path) -> None:
    number = list(EXAMPLES).index(title)
    said = (extended / f"said{number}").read_text()
    (result,) = extended.glob(f"runs{number}/*/*/*/result.json")
    assert json.loads(result.read_text())["status"] == "finished", said


def test_a_package_of_ones_own(tmp_path: Path) -> None:
    """In an empty folder, by the installed command: -P keeps that folder out of Python's path."""
    section = sections()[OWN]
    for name, text in files(section).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (commands,) = re.findall(r"```bash\n(.*?)```", section, flags=re.DOTALL)
    for command in commands.strip().splitlines():
        words = shlex.split(command)[1:]
        if words[0] == "evaluate":
            directory = next(tmp_path.glob("runs/decays/spos/*/result.json")).parent
            words = [word.replace("runs/decays/spos/<key>", str(directory)) for word in words]
        else:
            words = small([*words, *(["report=false"] if words[0] == "sweep" else [])])
        done = run(["-P", "-c", "from msnas.cli import main; main()", *words], folder=tmp_path)
        assert done.returncode == 0, done.stderr + done.stdout
        assert "Warning" not in done.stderr
    results = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/*/*/result.json")]
    assert [result["status"] for result in results] == ["finished"] * 3
