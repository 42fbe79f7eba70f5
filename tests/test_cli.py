"""`msnas <command>`: which there are, and what is none."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from msnas import cli


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["--help"])
    text = capsys.readouterr().out
    for name in cli.COMMANDS.keys() | {"train", "choose", "compare", "predict", "evaluate"}:
        assert f"\n  {name} " in text


def test_python_m_msnas_is_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["msnas", "--help"])
    runpy.run_module("msnas", run_name="__main__")
    assert capsys.readouterr().out == cli._help()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "error: trian: unknown; did you mean train? commands: train, sweep, report, "),
        (["problem=toy"], "error: problem=toy: unknown; commands: train, "),
        ([], "error: commands: train, "),
    ],
)
def test_what_is_no_command(words: list[str], said: str) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert str(stop.value.code).startswith(said)


@pytest.mark.parametrize("name", [name for name in cli.COMMANDS if name not in ("train", "sweep")])
def test_a_command_is_that_of_python_m(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert not stop.value.code
    assert capsys.readouterr().out.startswith(f"usage: python -m msnas.{name} key=value")


@pytest.mark.parametrize("script", ["train.py", "sweep.py"])
def test_help_reads_the_users_folder_too(script: str, tmp_path: Path) -> None:
    """Without importing what takes time."""
    (tmp_path / "mine/loss").mkdir(parents=True)
    (tmp_path / "mine/loss/other.yaml").touch()
    program = (
        f"import runpy, sys; sys.argv = [{script!r}, '--config-dir', 'mine', '-h']; "
        f"runpy.run_path({str(ROOT / script)!r}, run_name='__main__'); "
        "print(sorted({'numpy', 'pydantic', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "momentum_of_taus, other, squared_error\n" in done.stdout
    assert ("retry_failed=" in done.stdout) is (script == "sweep.py")
    assert done.stdout.endswith("[]\n")


def test_help_says_what_the_user_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for typed, expected in (
        ("msnas", "usage: msnas compare "),
        ("x.py", "usage: python -m msnas."),
    ):
        monkeypatch.setattr("sys.argv", [f"/some/where/{typed}"])
        with pytest.raises(SystemExit) as ended:
            cli.main(["compare", "--help"])
        assert ended.value.code == 0
        assert capsys.readouterr().out.startswith(expected)
