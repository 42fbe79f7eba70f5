"""Files of the cache that cannot be read are named, dropped and made again."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from conftest import compose_config
from rich.console import Console

from msnas.methods.spos import SPOS
from msnas.run import run

QUIET = Console(quiet=True)


def toy(folder: Path, *overrides: str) -> dict[str, Any]:
    epochs = [f"recipe.{stage}.epochs=2" for stage in ("pretrain", "search", "posttrain")]
    words = ["problem=toy", "trainer=cpu", "logger=none", f"output={folder}", *epochs, *overrides]
    return run(compose_config(words), console=QUIET)


def log_of(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("toy/*/*/log"))


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
@pytest.mark.parametrize("name", ["weights.pt", "record.json"])
def test_a_damaged_entry_is_trained_anew(tmp_path: Path, name: str, damage: bytes | None) -> None:
    before = toy(tmp_path)
    (entry,) = (path for path in (tmp_path / "cache/search").iterdir() if path.is_dir())
    content = (entry / name).read_bytes()
    (entry / name).write_bytes(content[: len(content) // 2] if damage is None else damage)
    again = toy(tmp_path, "method.ranking=evolution")  # another run of the same super-network
    assert again["stages"]["search"]["cached"] == []
    assert again["stages"]["pretrain"]["cached"] == list(before["stages"]["pretrain"]["epochs"])
    assert again["metrics"] == before["metrics"]
    assert f"{entry} cannot be read" in log_of(tmp_path)


def test_a_damaged_checkpoint_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = toy(tmp_path / "whole")
    validate = SPOS.validate_batch

    def interrupted(self: SPOS, batch: Any) -> Any:
        if self.current_epoch == 1:
            raise KeyboardInterrupt
        return validate(self, batch)

    monkeypatch.setattr(SPOS, "validate_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        toy(tmp_path / "broken")
    monkeypatch.undo()
    (checkpoint,) = (tmp_path / "broken/cache/search").glob("*.partial/epoch-*.ckpt")
    checkpoint.write_bytes(b"garbage")
    with caplog.at_level(logging.WARNING):
        again = toy(tmp_path / "broken")
    assert again["metrics"] == whole["metrics"]
    assert f"{checkpoint.parent} cannot be read" in log_of(tmp_path / "broken")
