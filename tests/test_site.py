"""The documentation: everything is described, the pictures are those of the numbers, commands run.

Links, references and the API pages are checked by `make docs`, whose warnings are errors.
"""

from __future__ import annotations

import re
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import CONF, ROOT
from documented import blocks, commands, small
from killable_run import python
from PIL import Image

import msnas
from msnas.plots.draw import figures_found
from msnas.settings import Recipe, Stage

sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "benchmarks")]
import gallery  # noqa: E402
import options  # noqa: E402

DOCS = ROOT / "docs"
PAGES = sorted(path.stem for path in DOCS.glob("*.md"))
OPTIONS = ("methods", "options")
"""Pages with the tables of conf/."""


def sections() -> dict[str, str]:
    """The text of the section in which the options of a group are, without them."""
    found: dict[str, str] = {}
    for page in OPTIONS:
        for part in re.split(r"^## ", (DOCS / f"{page}.md").read_text(), flags=re.MULTILINE):
            for group in re.findall(r"```\{options\} (\S+)\n", part):
                assert group not in found, "the options of a group are in one place"
                found[group] = part
    return found


def test_every_group_is_on_a_page() -> None:
    there = {group.split("/")[0] for group in options.groups()}
    assert there == {path.name for path in CONF.iterdir() if path.is_dir()}
    assert sections().keys() == {".", *there}


@pytest.mark.parametrize("group", options.groups())
def test_every_option_and_setting_is_described(group: str) -> None:
    found = {one.name: one for one in options.options(group)}
    assert found.keys() == {path.stem for path in (CONF / group).glob("*.yaml")}
    name = group.split("/")[0]
    shown, around = options.page(name), sections()[name]
    for one in found.values():
        assert one.about or one.said, "a sentence at the top of the file or of its class"
        assert f"`{one.name}`" in shown
        for key in one.undescribed():  # shared settings are explained above the table
            words = {key.split(".")[-1], key.split(".")[0], f"{key.split('.')[0]}.<setting>"}
            assert any(f"`{word}`" in around for word in words), f"{one.name}: {key}"


def test_a_setting_without_a_meaning_is_noticed() -> None:
    option = options.Option(
        name="made",
        about="Made.",
        place="made",
        target="",
        said="`told` is told.",
        settings=tuple(
            options.Setting(key=key, default="1", meaning=meaning)
            for key, meaning in (("a.told", ""), ("untold", ""), ("commented", "so it is"))
        ),
    )
    assert option.undescribed() == ["untold"]


def test_settings_of_all_runs_and_of_stages_are_described() -> None:
    assert all(one.meaning for one in options.beside())
    recipe = (DOCS / "recipe.md").read_text()
    assert all(f"`{key}`" in recipe for key in Stage.__annotations__)
    around = sections()["recipe"]
    assert all(f"`{key}`" in around or f"recipe.{key}`" in around for key in Recipe.__annotations__)


def test_the_api_pages_are_whole() -> None:
    listed = re.findall(r"^\.\. auto\w+:: (\S+)", (DOCS / "api.md").read_text(), re.MULTILINE)
    assert set(msnas.__all__) <= set(listed)
    models = (DOCS / "models.md").read_text()
    for group in options.groups():
        if group.startswith("candidate/") or group == "loss":
            for one in options.options(group):
                assert f".. autoclass:: {one.target}\n" in models


def test_every_page_is_in_the_table_of_contents() -> None:
    blocks_of = blocks("docs/index.md", r"\{toctree\}")
    listed = [line for block in blocks_of for line in block.splitlines() if line]
    names = [line for line in listed if not line.startswith(":")]
    assert sorted(names) == [page for page in PAGES if page != "index"]


def test_the_first_screen_of_the_readme() -> None:
    first, end, _ = (ROOT / "README.md").read_text().partition("<!-- end of the first screen -->")
    assert end
    pictures = re.findall(r"!\[.+?\]\((.+?)\)", first)
    assert pictures == ["docs/chain.svg", "docs/gallery/axis.png"]
    links = re.findall(r"(?<!!)\[.+?\]\((.+?)\)", first.replace("\n", " "))
    assert len(links) >= 8
    assert all((ROOT / path).is_file() for path in [*pictures, *links])
    (example,) = re.findall(r"```python\n(.*?)```", first, flags=re.DOTALL)
    assert len(example.splitlines()) == 10


@pytest.mark.parametrize("picture", [one.__name__ for one in gallery.PICTURES])
def test_a_picture_of_the_gallery_is_of_the_published_numbers(picture: str) -> None:
    with Image.open(gallery.GALLERY / f"{picture}.png") as image:
        assert image.text["Source"] == gallery.source(), "python benchmarks/gallery.py"
    assert f"(gallery/{picture}.png)" in (DOCS / "gallery.md").read_text()


def test_a_picture_shows_what_is_published() -> None:
    numbers = gallery.Published()
    shown = gallery.axis(numbers).frame.query("label == 'mean of ten seeds'")
    runs = numbers.scan("v1")
    for label, column in (
        ("joint validity", "joint_validity"),
        ("test AUC, Higgs or Z", "test_auc"),
    ):
        own = shown[shown["y_axis"] == label].set_index("x")["y"]
        assert own[0.5] == pytest.approx(runs[runs["v1"] == 0.5][column].mean())
    assert {one.__name__ for one in gallery.PICTURES} == {
        path.stem for path in gallery.GALLERY.glob("*.png")
    }


def test_the_pictures_of_the_tutorial_are_figures_of_a_report() -> None:
    shown = re.findall(r"\(tutorial/(\w+)\.png\)", (DOCS / "tutorial.md").read_text())
    assert len(shown) == 3
    assert set(shown) <= {one.name for one in figures_found()}


# ------------------------------------------------------------------ commands

ELSEWHERE = {
    "choice": "test_choice.py",
    "export": "test_export_candidates.py",
    "extend": "test_docs.py",
    "fakes": "test_htautau_fakes.py",
    "measurement": "test_measurement.py",
    "shifts": "test_shifts.py",
    "weighting": "test_weighting_runs.py",
}
"""Pages whose commands have a test of their own."""

NOT_HERE = {
    "pip install": "installs",
    "wandb login": "needs an account",
    "wandb sync": "needs an account",
    "tensorboard": "does not end",
    "python train.py --multirun hydra/sweeper=optuna": "needs a package that wants another Hydra",
}
"""Beginnings of commands that are not run, and why."""

NEED = {
    "submitit_slurm": "hydra_plugins.hydra_submitit_launcher",
    "hydra/launcher=ray": "hydra_plugins.hydra_ray_launcher",
    "msnas.dashboard": "wandb_workspaces",
}
"""Optional packages of commands."""

WITH_COMMANDS = [page for page in PAGES if page not in ELSEWHERE and commands(f"docs/{page}.md")]


def test_commands_of_other_pages_are_run_by_other_tests() -> None:
    for page, test in ELSEWHERE.items():
        assert commands(f"docs/{page}.md")
        assert f"docs/{page}.md" in (ROOT / "tests" / test).read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a run, conditioned on v1, and with files of Delphes."""
    folder = tmp_path_factory.mktemp("pages")
    for name in ("conf", "data", "train.py", "sweep.py"):
        (folder / name).symlink_to(ROOT / name)
    for process in ("H", "Z", "W", "QCD"):
        path = ROOT / "tests" / "data" / f"fixture_{process}.root"
        (folder / f"{process}1.root").symlink_to(path)
    (first,) = [one for one in commands("docs/conditioning.md") if "train.py" in one]
    done = python(*small(shlex.split(first)[1:]), folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


def as_run(command: str) -> list[str]:
    """The words of a command, made small: few events of the toy, one seed of a scan's plan."""
    words = shlex.split(command)[1:]
    if words[0] == "train.py":
        if not any(word.startswith("problem=") for word in words):
            words.append("problem=toy")
        return words if "--cfg" in words else small(words)
    if words[0] == "sweep.py":
        words = [word.replace("trainer:gpu", "trainer:cpu") for word in words]  # no card here
        axes = ("seed=", "task_weight=", "dry_run=")
        kept = [word for word in words if not word.startswith(axes)]
        return [*kept, "seed=0", "task_weight=0.5", "dry_run=true"]
    if "msnas.convert" in words:
        words.append("overwrite=true")  # two commands of the page write one file
    if "msnas.dashboard" in words:
        words.append("dry_run=true")
    return words


def to_run(page: str) -> list[str]:
    """The commands of a page, of runs of the toy, without those of the README (test_docs.py)."""
    told = [one.replace("runs=runs/htautau", "runs=runs/toy") for one in commands(page)]
    return [one.replace("runs=runs ", "runs=runs/toy ") for one in told]


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_the_commands_of_a_page_run(page: str, folder: Path) -> None:
    run = min(folder.glob("runs/toy/spos/*/result.json")).parent
    for command in to_run(f"docs/{page}.md"):
        if command.startswith(tuple(NOT_HERE)) or command in to_run("README.md"):
            continue
        if any(word in command and find_spec(needed) is None for word, needed in NEED.items()):
            continue
        named = re.sub(r"runs/\w+/spos/<key>", str(run), command)
        named = named.replace("<you>", "you").replace("<host>", "host")
        done = python(*as_run(named), folder=folder)
        assert done.returncode == 0, f"{command}\n{done.stderr}{done.stdout}"
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("methd=spos", "unknown; did you mean method?"),
        ("trainer.gradient_clip_val=1", "not given so far; add it with"),
        ("data.file=no.h5", "not found (looked in"),
        ("output=a,b", "a text of any characters has quotes"),
        ("method._target_=mine.X", "is not allowed; classes may come from"),
    ],
)
def test_messages_that_are_explained_are_those_that_are_told(
    words: str, said: str, folder: Path
) -> None:
    done = python("train.py", words, "logger=none", folder=folder)
    assert done.returncode != 0
    assert said in done.stderr + done.stdout
    assert f"`{said}`" in (DOCS / "troubleshooting.md").read_text()
