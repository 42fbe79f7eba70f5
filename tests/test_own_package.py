"""A user's own package and configurations: found, allowed by nobody but the user, known by keys."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import CONF, QUIET, ROOT, compose_config
from hostile_run import TINY, doors, forge
from killable_run import python
from test_hostile_configurations import put
from torch import nn

from msnas.build import build, check_target
from msnas.cli import main
from msnas.compare.__main__ import Settings as CompareSettings
from msnas.compare.__main__ import compare
from msnas.conf_folders import folders_of, parsed
from msnas.errors import ConfigError, MsnasError
from msnas.evaluate import Settings as EvaluateSettings
from msnas.evaluate import evaluate_run
from msnas.packages import allowed, allowing, is_allowed
from msnas.plan import make_plan
from msnas.predict import Settings as PredictSettings
from msnas.predict import predict
from msnas.results.runs import collect
from msnas.run import run
from msnas.run_directory import RunDirectory
from msnas.scan.compose import Composer

LINE = """
    '''A line, and what is no model.'''
    import subprocess
    from pathlib import Path
    from subprocess import Popen
    from torch import nn
    from .scales import SCALE

    Path("imported").touch()

    class Line(nn.Module):
        def __init__(self, *, bias: bool = True) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 3, bias=bias)

        def forward(self, inputs):
            return SCALE * self.linear(inputs["x"])

    class NoModel:
        def __init__(self) -> None:
            Path("called").touch()

    class Program(Popen):
        pass
    """

TOY = ["problem=toy", "data.events=200", "trainer=cpu", "logger=none", *TINY]
CANDIDATE = "tasks.toy_regression.candidates.ruler"


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to be in, but for a package of which nobody knows yet."""
    write(tmp_path / "mine" / "line.py", LINE)
    write(tmp_path / "mine" / "scales.py", "SCALE = 1.0")
    write(tmp_path / "helper.py", "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("msnas.packages._looked_for_here", set())
    yield tmp_path
    forget()


def forget() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("mine", "helper")]:
        del sys.modules[name]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))


def with_ruler(*more: str) -> list[str]:
    """The toy with a candidate of the user's, the only one of its task."""
    words = ["candidate/toy_regression=[line]", "~tasks.toy_regression.candidates.line"]
    return [*TOY, *words, f"+{CANDIDATE}={{_target_:mine.line.Line}}", *more]


# ------------------------------------------------------------------ what may be allowed


NO_PACKAGES = (
    *("os", "builtins", "subprocess", "msnas", "msnas.run", "__main__", "class"),
    *("", "..", "a/b", "a..b", "a.", "-x", "x:y", "${seed}", "a;b"),
)


@pytest.mark.parametrize("name", NO_PACKAGES)
def test_what_is_no_package_of_the_users(name: str) -> None:
    with (
        pytest.raises(ConfigError, match=r"^allow: .* is no name of a package of yours"),
        allowing([name]),
    ):
        pass
    assert not is_allowed(f"{name}.X") or name.startswith("msnas")


@pytest.mark.parametrize("value", ["mine", "[1]", "null", "[[mine]]", "1"])
def test_what_is_no_list_of_names(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^allow: expected a list of names, found"):
        make_plan(compose_config([*TOY, f"allow={value}"]))


def test_a_package_that_is_not_there(mine: Path) -> None:
    write(mine / "binary.so", "")
    for name in ("nowhere", "binary", "nowhere.models"):
        with (
            pytest.raises(ConfigError, match=rf"^allow: '{name}' is no package .* \(now in {mine}"),
            allowing([name]),
        ):
            pass


def test_only_what_is_allowed_is_found_in_the_current_folder(mine: Path) -> None:
    with pytest.raises(ModuleNotFoundError):
        __import__("mine")
    with allowing(["mine"]):
        assert allowed()[-1] == "mine"
        check_target("mine.line.Line", key="x")
        with pytest.raises(ModuleNotFoundError):
            __import__("helper")
        with ThreadPoolExecutor() as pool:  # another thread is another conversation
            assert not pool.submit(is_allowed, "mine.line.Line").result()
    assert "mine" not in allowed()
    assert (mine / "imported").exists()


def test_without_a_word_nothing_is_imported(mine: Path) -> None:
    said = r"'mine.line.Line' is not allowed; .* if mine is yours or you trust it: allow=\[mine\]$"
    with pytest.raises(ConfigError, match=rf"^{CANDIDATE}\._target_: {said}"):
        make_plan(compose_config(with_ruler()))
    with pytest.raises(ConfigError, match=r"^x\._target_: 'os\.system' is not allowed; [^;]*$"):
        check_target("os.system", key="x")
    with allowing(["helper"]), pytest.raises(ConfigError, match=said):
        check_target("mine.line.Line", key="x")
    assert not (mine / "imported").exists()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("mine.line.NoModel", r"is no torch\.nn\.modules\.module\.Module"),
        ("mine.line.Program", r"is no torch\.nn\.modules\.module\.Module"),
        ("mine.line.Popen", r"is not a class of .* but <class 'subprocess\.Popen'>"),
        ("mine.line.subprocess.Popen", r"is not a class of "),
        ("mine.line.subprocess.call", r"is not a class of "),
        ("mine.line.Path", r"is not a class of "),
        ("mine.line.nowhere", r"cannot import"),
        ("mine", r"is not a class of "),
    ],
)
def test_what_is_allowed_must_be_of_the_right_kind(mine: Path, target: str, said: str) -> None:
    with allowing(["mine"]), pytest.raises(ConfigError, match=said):
        build({"_target_": target}, key="x", of=nn.Module)
    assert not (mine / "called").exists()


def test_a_source_that_cannot_be_read_is_named(mine: Path) -> None:
    write(mine / "mine" / "line.py", "class Line(:\n")
    with pytest.raises(ConfigError, match=r"mine/line\.py cannot be read: .* line 1\)$"):
        make_plan(compose_config(with_ruler("allow=[mine]")))


def test_arguments_are_checked_as_ours_are(mine: Path) -> None:
    assert mine.is_dir()
    words = with_ruler("allow=[mine]", f"+{CANDIDATE}.bais=true")
    with pytest.raises(ConfigError, match=rf"{CANDIDATE}\.bais: unknown; did you mean .*bias\?"):
        make_plan(compose_config(words))


# ------------------------------------------------------------------ runs that are read back


@pytest.fixture
def finished_ruler(mine: Path) -> Path:
    """The directory of a finished run with the user's candidate."""
    result = run(compose_config(with_ruler("allow=[mine]", "output=theirs")), console=QUIET)
    return mine / "theirs" / "toy" / "spos" / str(result["key"])


def test_who_reads_a_run_must_allow_it_again(finished_ruler: Path, mine: Path) -> None:
    directory = RunDirectory(finished_ruler)
    assert "allow" not in directory.config()
    (found,) = collect([mine / "theirs"]).finished  # a report builds nothing
    assert found.directory == finished_ruler
    for hostile in (directory.config(), {**directory.config(), "allow": ["mine"]}):
        forge(finished_ruler, config=hostile)
        for door in doors(finished_ruler, mine)[:2]:
            with pytest.raises(MsnasError, match=r"mine\.line\.Line' is not .*: allow=\[mine\]$"):
                door()
        (numbers,) = evaluate_run(EvaluateSettings(run=str(finished_ruler), allow=["mine"]), {})
        assert numbers["values"] == directory.read()[1]["metrics"]["test"]
    with pytest.raises(MsnasError, match=r"missing\.h5 not found"):
        predict(
            PredictSettings(run=str(finished_ruler), data="missing.h5", out="p.h5", allow=["mine"])
        )


def test_compare_asks_too(mine: Path) -> None:
    for method in ("method=spos", "method=grid_search"):
        words = with_ruler("allow=[mine]", "output=theirs", method)
        run(compose_config(words), console=QUIET)
    (mine / "imported").unlink()
    forget()
    refused = compare(CompareSettings(runs=["theirs"]))
    assert "'mine.line.Line' is not allowed" in " ".join(refused.groups[0].notes)
    assert not (mine / "imported").exists()
    agreed = compare(CompareSettings(runs=["theirs"], allow=["mine"]))
    assert "allow" not in " ".join(agreed.groups[0].notes)


# ------------------------------------------------------------------ keys


def train(folder: Path, *words: str) -> str:
    """What `train.py` says in a process of its own: a source is read once in a process."""
    done = python(str(ROOT / "train.py"), *words, folder=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_edited_code_of_the_users_is_trained_again(mine: Path) -> None:
    """The class's own, what it imports by a dot, a comment; and everything as it was."""
    words = with_ruler("allow=[mine]")
    assert "This run is finished" not in train(mine, *words)
    assert "This run is finished" in train(mine, *words)
    for name, before, after in (
        ("line.py", "SCALE * self", "2 * SCALE * self"),
        ("scales.py", "1.0", "3.0"),
    ):
        path = mine / "mine" / name
        original = path.read_text()
        path.write_text(original.replace(before, after))
        assert re.search(rf"trained again: .*mine/{name} changed", train(mine, *words))
        path.write_text(f"# a comment\n{original}")
        assert "This run is finished" in train(mine, *words)


def test_to_allow_is_no_part_of_a_key(mine: Path) -> None:
    key = make_plan(compose_config(TOY)).key
    assert make_plan(compose_config([*TOY, "allow=[mine]"])).key == key
    plan = make_plan(compose_config(with_ruler("allow=[mine]")))
    assert plan.allow == ["mine"]
    assert make_plan(compose_config(with_ruler("allow=[mine,helper]"))).key == plan.key
    assert "allow" not in plan.config
    assert mine.is_dir()


# ------------------------------------------------------------------ configuration folders


@pytest.fixture
def settings(mine: Path) -> Path:
    """A folder of configurations: a candidate, in a group that is there, and one that is not."""
    text = f"# @package {CANDIDATE.replace('ruler', '%s')}\n_target_: mine.line.Line\n"
    write(mine / "settings/candidate/toy_regression/ruler.yaml", text % "ruler")
    write(mine / "settings/candidate/other/ruler.yaml", text % "other")
    return mine / "settings"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--config-dir", "nowhere"], r"^--config-dir: 'nowhere' is not a folder \(looked in "),
        (["--config-dir", "helper.py"], r"^--config-dir: 'helper.py' is not a folder"),
        (["hydra.searchpath=[settings,nowhere]"], r"^hydra\.searchpath: 'nowhere' is not a folder"),
        (["hydra.searchpath=settings"], r"^hydra\.searchpath: expected a list of folders, found "),
        (["hydra.searchpath=[1]"], r"^hydra\.searchpath: expected a list of folders, found "),
    ],
)
def test_a_folder_that_is_none(settings: Path, words: list[str], said: str) -> None:
    assert settings.is_dir()
    with pytest.raises(ConfigError, match=said):
        folders_of(parsed(words))


def test_a_file_that_would_never_be_read(settings: Path) -> None:
    words = ["--config-dir", "settings", "hydra.searchpath=[file://more]"]
    write(settings.parent / "more/loss/mine.yaml", "")
    assert folders_of(parsed(words))[1:] == [str(settings), str(settings.parent / "more")]
    write(settings.parent / "more/candidate/other/ruler.yaml", "")
    with pytest.raises(
        ConfigError, match=r"^hydra\.searchpath: .*/more/candidate/other/ruler\.yam"
    ):
        folders_of(parsed(words))
    write(settings / "loss/focal.yaml", "")
    with pytest.raises(ConfigError, match=r"^--config-dir: .*/conf/loss/focal\.yaml comes first"):
        folders_of(parsed(words))


@pytest.mark.parametrize("how", ["--config-dir={}", "hydra.searchpath=[{}]"])
def test_a_run_and_a_scan_take_candidates_of_both(
    settings: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    words = [*TOY, "allow=[mine]", "candidate/toy_regression=[ruler,line]", how.format("settings")]
    assert "toy_regression/ruler 1" in train(settings.parent, *words)
    monkeypatch.setattr(sys, "argv", ["msnas"])
    main(["sweep", *words, "task_weight=0.5", "seed=0,1", "dry_run=true"])
    assert "1 of 2 runs to do" in capsys.readouterr().out


def test_a_composer_knows_the_groups_of_a_search_path(settings: Path) -> None:
    composer = Composer([str(CONF), str(settings)], "config")
    config: Any = composer.compose([*TOY, "+candidate/other=[ruler]"])
    assert config.tasks.toy_regression.candidates.other._target_ == "mine.line.Line"
    with pytest.raises(ConfigError, match=r"did you mean ruler\? options: "):
        composer.compose([*TOY, "candidate/toy_regression=rulr"])


def test_hostile_places_stay_what_they_are(finished_ruler: Path, mine: Path) -> None:
    """To trust a package is not to trust all that a run directory says."""
    config = RunDirectory(finished_ruler).config()
    for target in ("subprocess.Popen", "mine.line.NoModel", "mine.line.Popen"):
        forge(finished_ruler, config=put(config, CANDIDATE, {"_target_": target}))
        with pytest.raises(MsnasError, match=r"_target_"):
            evaluate_run(EvaluateSettings(run=str(finished_ruler), allow=["mine"]), {})
    assert not (mine / "called").exists()
