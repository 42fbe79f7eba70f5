"""A finished run and its store, to be made hostile; and every door that reads a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import epochs, renew_checksums

from msnas.compare.__main__ import Settings as CompareSettings
from msnas.compare.__main__ import compare
from msnas.errors import MsnasError
from msnas.evaluate import Settings as EvaluateSettings
from msnas.evaluate import evaluate_run
from msnas.predict import Settings as PredictSettings
from msnas.predict import predict

SECRET = "a-secret-of-the-environment"
TINY = epochs(1)


class Trap:
    """Unpickled, it would make a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def forge(directory: Path, *, config: Any = None, result: Any = None) -> None:
    """Give a run other files, with checksums that fit."""
    if config is not None:
        text = config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False)
        (directory / "config.yaml").write_text(text)
    if result is not None:
        (directory / "result.json").write_text(json.dumps(result))
    renew_checksums(directory)


def doors(directory: Path, tmp_path: Path) -> list[Callable[[], object]]:
    """Everything that reads a run directory."""
    data = tmp_path / "missing.h5"
    return [
        lambda: evaluate_run(EvaluateSettings(run=str(directory)), {}),
        lambda: predict(PredictSettings(run=str(directory), data=str(data), out="p.h5")),
        lambda: compare(CompareSettings(runs=[str(tmp_path / "theirs")])),
    ]


def assert_refused(directory: Path, tmp_path: Path, *, said: str = "") -> None:
    """Every door says no with an error of ours; nothing has run, nothing is told."""
    for door in doors(directory, tmp_path):
        with pytest.raises(MsnasError) as caught:
            door()
        assert SECRET not in str(caught.value)
    with pytest.raises(MsnasError, match=said):
        evaluate_run(EvaluateSettings(run=str(directory)), {})
    assert not (tmp_path / "mark").exists()
