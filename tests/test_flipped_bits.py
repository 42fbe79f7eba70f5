"""What is stored does not change unseen: what a disk spoils is named, and mended."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import QUIET, compose_config, epochs
from omegaconf import DictConfig
from rich.console import Console
from same_numbers import tensor_bytes, without_volatile

from msnas.errors import DataError
from msnas.evaluate import Settings, evaluate_run
from msnas.methods.spos import SPOSSearch
from msnas.plan import make_plan
from msnas.results.constrained import read_seen
from msnas.results.losses import read_losses
from msnas.results.outputs import read_outputs
from msnas.results.runs import collect
from msnas.run import run
from msnas.run_directory import RunDirectory
from msnas.scan.work import RunWork
from msnas.storage import read_record
from msnas.training.store import Entry, read_folder

POSITIONS = 100
"""Flipped bits of every stored file."""


def configured(output: Path, *overrides: str) -> DictConfig:
    words = ["problem=toy", "data.events=200", "trainer=cpu", "logger=none", f"output={output}"]
    return compose_config([*words, *epochs(2), *overrides])


def toy(output: Path, *overrides: str) -> dict[str, Any]:
    return run(configured(output, *overrides), console=QUIET)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with its store, and in the same store a search that was interrupted."""
    output = tmp_path_factory.mktemp("stored") / "runs"
    toy(output)
    validate = SPOSSearch.validate_batch

    def interrupted(self: SPOSSearch, batch: Any) -> Any:
        if self.current_epoch == 1:
            raise KeyboardInterrupt
        return validate(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SPOSSearch, "validate_batch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            toy(output, "seed=1")
    return output


@pytest.fixture
def copied(stored: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(stored, tmp_path / "runs")
    return tmp_path / "runs"


def flipped(path: Path, *, seed: int, count: int) -> Iterator[None]:
    """One bit after another flipped at random places of a file, each for the time of a step."""
    content = path.read_bytes()
    generator = random.Random(seed)
    for _ in range(count):
        place = generator.randrange(len(content))
        changed = bytearray(content)
        changed[place] ^= 1 << generator.randrange(8)
        path.write_bytes(changed)
        yield
    path.write_bytes(content)


def entries(output: Path) -> list[Path]:
    return sorted(path for path in (output / "cache").glob("*/*") if path.is_dir())


def read(folder: Path, name: str) -> str | None:
    """All of a folder's content as text, or None if it is named as damaged."""
    try:
        return str(read_folder(folder, name=name))
    except DataError as error:
        return None if str(folder) in str(error) else f"another place is named: {error}"


def test_every_stored_file_has_a_checksum(stored: Path) -> None:
    kinds = {path.suffix for path in entries(stored)}
    assert kinds == {"", ".partial"}
    (result,) = stored.rglob("result.json")
    for record in [*(entry / "record.json" for entry in entries(stored)), result]:
        there = {path.name for path in record.parent.iterdir()} - {record.name, "log"}
        assert set(read_record(record)["files"]) == there


def test_no_flipped_bit_of_the_store_passes(copied: Path) -> None:
    """Weights and records of finished trainings, and the checkpoint of an unfinished one."""
    tried = 0
    for folder in entries(copied):
        name = next(path.name for path in folder.iterdir() if path.name != "record.json")
        before = read(folder, name)
        assert before is not None
        for file in (folder / name, folder / "record.json"):
            for _ in flipped(file, seed=tried, count=POSITIONS):
                tried += 1
                if (found := read(folder, name)) is not None:
                    assert file.name == "record.json"  # the bit was in its white space
                    assert found == before
    assert tried == 2 * POSITIONS * len(entries(copied))


def test_no_flipped_bit_of_a_run_passes(copied: Path) -> None:
    (place,) = (path.parent for path in copied.rglob("result.json"))
    directory = RunDirectory(place)
    before = directory.read()
    for number, name in enumerate([*before[1]["files"], "result.json"]):
        for _ in flipped(place / name, seed=number, count=POSITIONS):
            if (damage := directory.damage()) is None:
                assert name == "result.json"  # the bit was in its white space
                assert directory.read() == before
            else:
                assert str(place / name) in damage


def test_readers_name_the_damaged_file(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copied)
    (place,) = (path.parent for path in copied.rglob("result.json"))
    (whole,) = collect([copied / "toy"]).finished
    for name, reader in (
        ("model.ckpt", lambda: evaluate_run(Settings(run=str(place)), {})),
        ("outputs.h5", lambda: read_outputs(whole)),
        ("honesty.h5", lambda: read_seen(whole)),
        ("losses.h5", lambda: read_losses(whole)),
        ("history.jsonl", lambda: RunDirectory(place).history()),
        ("config.yaml", lambda: RunDirectory(place).read()),
        ("result.json", lambda: RunDirectory(place).read()),
    ):
        for _ in flipped(place / name, seed=1, count=3):
            with pytest.raises(DataError, match=name):
                reader()
    for name in ("config.yaml", "result.json"):
        for _ in flipped(place / name, seed=1, count=3):
            runs = collect([copied / "toy"])
            used, others = runs.finished, runs.others
            assert not used
            (reason,) = (other.reason for other in others if other.directory == place)
            assert name in reason


@pytest.mark.parametrize(
    "name", ["model.ckpt", "outputs.h5", "losses.h5", "config.yaml", "history.jsonl", "result.json"]
)
def test_a_damaged_run_is_repaired(
    copied: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place,) = (path.parent for path in copied.rglob("result.json"))
    before = RunDirectory(place).read()
    model = tensor_bytes(place / "model.ckpt")
    next(flipped(place / name, seed=3, count=1))
    config = configured(copied)
    again = run(config, console=Console(width=300))
    said = capsys.readouterr().out
    assert "damaged, done again: " in said
    assert str(place / name) in said
    assert all(
        not set(stage["epochs"]) - set(stage["cached"]) for stage in again["stages"].values()
    )
    after = RunDirectory(place).read()
    # the copy lies in another folder, which its configuration tells
    assert {**after[0], "output": ""} == {**before[0], "output": ""}
    assert without_volatile(after[1]) == without_volatile(before[1])
    assert tensor_bytes(place / "model.ckpt") == model
    run(config, console=Console(width=300))
    assert "This run is finished" in capsys.readouterr().out


def test_a_scan_repairs_a_damaged_run(copied: Path) -> None:
    plan = make_plan(configured(copied))
    work = RunWork([], plan, launched_as=[], force=False)
    assert (work.state, work.left) == ("finished", False)
    next(flipped(work.directory.model, seed=3, count=1))
    damaged = RunWork([], plan, launched_as=[], force=False)
    assert (damaged.state, damaged.left) == ("partial", True)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a bit": lambda content: content[:99] + bytes([content[99] ^ 1]) + content[100:],
    "nothing": lambda content: b"",
    "garbage": lambda content: b"garbage",
    "half": lambda content: content[: len(content) // 2],
}
SPOILT = [("pretrain", "a bit"), ("posttrain", "a bit"), *(("search", one) for one in DAMAGES)]


@pytest.mark.parametrize("file", ["weights.pt", "record.json"])
@pytest.mark.parametrize(("stage", "damage"), SPOILT)
def test_a_damaged_training_is_done_again(
    copied: Path, stored: Path, stage: str, file: str, damage: str
) -> None:
    spoilt = [one for one in entries(copied) if one.parent.name == stage and not one.suffix]
    for entry in spoilt:
        (entry / file).write_bytes(DAMAGES[damage]((entry / file).read_bytes()))
    shutil.rmtree(copied / "toy")
    again = toy(copied)
    (result,) = stored.rglob("result.json")
    before = read_record(result)
    assert without_volatile(again)["metrics"] == without_volatile(before)["metrics"]
    for other, trained in again["stages"].items():
        assert trained["cached"] == ([] if other == stage else list(trained["epochs"]))
    (log,) = copied.rglob("log")
    said = [line for line in log.read_text().splitlines() if "trained anew" in line]
    assert len(said) == len(again["stages"][stage]["epochs"])
    assert all(any(f"{entry} cannot be read" in line for entry in spoilt) for line in said)


@pytest.mark.parametrize("damage", ["a bit", "garbage"])
def test_a_damaged_checkpoint_does_not_enter_a_training(
    copied: Path, tmp_path: Path, damage: str
) -> None:
    (partial,) = (path for path in entries(copied) if path.suffix == ".partial")
    checkpoint = partial / read_record(partial / "record.json")["checkpoint"]
    checkpoint.write_bytes(DAMAGES[damage](checkpoint.read_bytes()))
    if damage == "a bit":
        assert Entry(partial.with_suffix(""), {}).resumable() is None
        assert list(partial.iterdir()) == []
    else:
        again = toy(copied, "seed=1")
        assert again["metrics"] == toy(tmp_path / "whole", "seed=1")["metrics"]
        (log,) = copied.glob(f"toy/spos/{again['key']}/log")
        assert f"{partial} cannot be read" in log.read_text()
