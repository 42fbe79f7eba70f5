"""The shared ``key=value`` command line: what it accepts, refuses, and how it says so."""

from dataclasses import dataclass, field
from enum import Enum

import pytest
from omegaconf import MISSING

from msnas.command_line import parse


class Colour(Enum):
    red = 1
    blue = 2


@dataclass
class Settings:
    out: str = field(default=MISSING, metadata={"help": "file to write"})
    chunk: int = field(default=500, metadata={"help": "events read at a time"})
    rate: float = 0.5
    seed: int | None = None
    overwrite: bool = False
    colour: Colour = Colour.red
    runs: list[str] = field(default_factory=list)
    folds: list[int] = field(default_factory=lambda: [1, 2])


def read(*words: str) -> Settings:
    return parse(words, Settings, program="python -m example", description="Writes a file.")


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The single line that a refused command line prints."""
    with pytest.raises(SystemExit) as stop:
        read(*words)
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert "python -m example --help" in captured.err
    return captured.err


def test_defaults_are_kept() -> None:
    assert read("out=a.h5") == Settings(out="a.h5")


def test_values_take_the_declared_type() -> None:
    settings = read("out=a", "chunk=7", "rate=1e-3", "seed=3", "overwrite=true", "colour=blue")
    assert settings == Settings(
        out="a", chunk=7, rate=0.001, seed=3, overwrite=True, colour=Colour.blue
    )
    assert type(settings.chunk) is int
    assert type(settings.rate) is float


@pytest.mark.parametrize("text", ["*.root", "010", "true", "a=b", "{x}", "a: b", "H*.root,Z?.root"])
def test_text_is_taken_literally(text: str) -> None:
    assert read(f"out={text}").out == text


def test_null_only_where_declared(capsys: pytest.CaptureFixture[str]) -> None:
    assert read("out=a", "seed=null").seed is None
    assert "chunk: found 'null', allowed: integer" in refusal(capsys, "out=a", "chunk=null")


def test_lists_with_and_without_brackets() -> None:
    assert read("out=a", "runs=x/*,y", "folds=[3,4]") == Settings(
        out="a", runs=["x/*", "y"], folds=[3, 4]
    )
    assert read("out=a", "folds=[]").folds == []


@pytest.mark.parametrize(
    ("word", "allowed"),
    [
        ("chunk=many", "integer"),
        ("chunk=1.5", "integer"),
        ("chunk=", "integer"),
        ("rate=fast", "number"),
        ("seed=x", "integer | null"),
        ("overwrite=maybe", "true | false"),
        ("colour=green", "red | blue"),
        ("folds=1,x", "list of integer"),
    ],
)
def test_wrong_type_names_key_found_and_allowed(
    capsys: pytest.CaptureFixture[str], word: str, allowed: str
) -> None:
    key, _, text = word.partition("=")
    assert f"{key}: found {text!r}, allowed: {allowed}" in refusal(capsys, "out=a", word)


def test_unknown_key_lists_the_keys_and_a_near_one(capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, "out=a", "chunks=3")
    assert "chunks: unknown key" in line
    assert "did you mean 'chunk'?" in line
    assert "keys are out, chunk, rate" in line


def test_missing_key_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "out: required but missing; found chunk; add out=<text>" in refusal(capsys, "chunk=1")
    assert "out: required but missing" in refusal(capsys, "out=???")


def test_word_without_equals_sign(capsys: pytest.CaptureFixture[str]) -> None:
    assert "'--force' is not of the form key=value" in refusal(capsys, "out=a", "--force")


def test_repeated_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert "out: given more than once, last as 'b'" in refusal(capsys, "out=a", "out=b")


def test_interpolation_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "not allowed" in refusal(capsys, "out=${oc.env:HOME}")


def test_a_line_break_stays_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    refusal(capsys, "out=a", "chunk\n=1")


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_shows_every_key(capsys: pytest.CaptureFixture[str], word: str) -> None:
    with pytest.raises(SystemExit) as stop:
        read(word, "anything")
    assert stop.value.code == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "usage: python -m example key=value" in captured.out
    assert "Writes a file." in captured.out
    assert "out  (text; required)\n      file to write" in captured.out
    assert "chunk  (integer; default 500)\n      events read at a time" in captured.out
    assert "seed  (integer | null; default null)" in captured.out
    assert "overwrite  (true | false; default false)" in captured.out
    assert "colour  (red | blue; default red)" in captured.out
    assert "folds  (list of integer, as a,b; default [1,2])" in captured.out
