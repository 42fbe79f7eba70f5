"""The files of one run, in a directory that needs no other. Imports no PyTorch."""

from __future__ import annotations

import json
import os
import shutil
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import yaml

from msnas.config import check_plain
from msnas.errors import DataError, MsnasError, one_line
from msnas.results.schema import check_match, check_result, check_settings
from msnas.storage import (
    damage_of,
    flush,
    read_record,
    read_text,
    read_yaml,
    whole,
    write_record,
    writing,
)

if TYPE_CHECKING:
    from msnas.plan import Plan

CONFIG, HISTORY, MODEL, OUTPUTS = "config.yaml", "history.jsonl", "model.ckpt", "outputs.h5"
HONESTY, LOSSES, JUDGES, REFIT = "honesty.h5", "losses.h5", "judges.ckpt", "refit.ckpt"
RESULT, BEGUN = "result.json", "begun"


@final
class RunDirectory:
    """config.yaml (resolved), history.jsonl, model.ckpt, outputs.h5, losses.h5, log in `path`.

    `result.json` is written last and holds the checksums of the other files and of itself. A run of
    an earlier version has no losses.h5 or judges.ckpt, a run without judges no judges.ckpt.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def model(self) -> Path:
        """The selected chain; loads with weights_only=True."""
        return self.path / MODEL

    @property
    def outputs(self) -> Path:
        """The outputs of the selected chain for the test events, with their truth."""
        return self.path / OUTPUTS

    @property
    def losses(self) -> Path:
        """The loss of every validation event, for each ranked chain."""
        return self.path / LOSSES

    @property
    def log(self) -> Path:
        """The log of the run."""
        return self.path / "log"

    @property
    def again(self) -> RunDirectory:
        """The directory where a repeated run keeps its files until all are there."""
        return RunDirectory(self.path / "again")

    def begin(self) -> int:
        """Make the folder; return when it was first begun [ns], the time of a file in it."""
        self.path.mkdir(exist_ok=True)
        mark = self.path / BEGUN
        if not mark.exists():
            mark.touch()
        return mark.stat().st_mtime_ns

    def take(self, other: RunDirectory) -> None:
        """Move the files of `other` here, the result last, and remove the rest of `other`."""
        names = [path.name for path in other.path.iterdir() if path.name not in (RESULT, BEGUN)]
        with writing(self.path):
            for name in (*names, RESULT):
                os.replace(other.path / name, self.path / name)
            flush(self.path)
        shutil.rmtree(other.path, ignore_errors=True)

    @property
    def lock(self) -> Path:
        """Held while a process works on this run."""
        return self.path.with_name(self.path.name + ".lock")

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the resolved configuration."""
        with whole(self.path / CONFIG) as new:
            new.write_text(yaml.dump(dict(config), Dumper=_Dumper, sort_keys=False))

    def config(self, result: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The resolved configuration: plain values, in which nothing is left to resolve.

        Raises DataError for another content, or a file changed since the result was written.
        `result` as in `checked`.
        """
        path = self.checked(CONFIG, result)
        if not path.is_file():
            raise DataError(f"{path} not found; expected the directory of a finished run")
        loaded = read_yaml(path)
        if not isinstance(loaded, dict):
            raise DataError(f"{path}: expected a mapping, found {type(loaded).__name__}")
        try:
            check_plain(loaded)
        except MsnasError as error:
            raise DataError(f"{path}: {error}") from error
        check_settings(loaded, where=str(path))
        return loaded

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Write the result, last of all files: the run is then finished."""
        names = (CONFIG, HISTORY, MODEL, REFIT, OUTPUTS, HONESTY, LOSSES, JUDGES)
        files = [self.path / name for name in names]
        files += self.path.glob("*.p[nd][gf]")
        write_record(
            self.path / RESULT, result, files=[path.name for path in files if path.is_file()]
        )

    def write_failure(self, plan: Plan, error: BaseException) -> None:
        """Write the error that ended the run, and how many attempts have failed so far."""
        write_record(
            self.path / RESULT,
            {
                "schema": 1,
                "problem": plan.config["problem"]["name"],
                "method": plan.config["method"]["name"],
                "key": plan.key,
                "seed": plan.config["seed"],
                "task_weights": plan.weights,
                "status": "failed",
                "error": one_line(error),
                "traceback": "".join(traceback.format_exception(error)),
                "attempts": 1 + (self.failure() or {}).get("attempts", 0),
            },
        )

    def finished(self) -> dict[str, Any] | None:
        """The result of a run that ended well, whatever has become of its other files."""
        result = self.readable()
        return result if result.get("status", "failed") == "finished" else None

    def finished_at(self) -> int:
        """When the result was written [ns]; 0 if there is none."""
        path = self.path / RESULT
        return path.stat().st_mtime_ns if path.is_file() else 0

    def failure(self) -> dict[str, Any] | None:
        """The record of a run that ended with an error: `error`, `traceback`, `attempts`."""
        result = self.readable()
        return result if result.get("status", "finished") == "failed" else None

    def damage(self, result: Mapping[str, Any] | None = None) -> str | None:
        """Why the result, or a file that it names, is not as written; None if all is well.

        `result` as in `checked`.
        """
        try:
            return damage_of(self.path, result or self.result() or {})
        except (DataError, OSError) as error:
            return one_line(error)

    def checked(self, name: str, result: Mapping[str, Any] | None = None) -> Path:
        """The path of one of the run's files; raise DataError if it is not as it was written.

        `result` is the run's result, if it has been read already.
        """
        if damage := damage_of(self.path, result or self.result() or {}, [name]):
            raise DataError(f"{damage}; the run's own command makes it again")
        return self.path / name

    def read(self, result: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Configuration and result of a finished run; the `result` may have been read.

        Raises DataError unless both exist, are as they were written, and fit each other.
        """
        result = result or self.result()
        if result is None or result.get("status", "finished") != "finished":
            raise DataError(f"{self.path}: expected the directory of a finished run")
        config = self.config(result)
        check_match(result, config, where=str(self.path / RESULT))
        return config, result

    def readable(self) -> dict[str, Any]:
        """The result of whatever status; empty if there is none, or a damaged one."""
        try:
            return self.result() or {}
        except DataError:
            return {}

    def result(self) -> dict[str, Any] | None:
        """The content of result.json, of whatever status; None if there is no file.

        Raises DataError for a file that is damaged or not of the schema.
        """
        path = self.path / RESULT
        if not path.is_file():
            return None
        result = read_record(path)
        check_result(result, where=str(path))
        return result

    def drop_result(self) -> None:
        """Remove the result, so that the run is unfinished."""
        (self.path / RESULT).unlink(missing_ok=True)
        shutil.rmtree(self.again.path, ignore_errors=True)

    def write_history(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Write the epochs of all stages, one JSON object a line."""
        with whole(self.path / HISTORY) as new:
            new.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def history(self, result: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The epochs of all stages; raise DataError for a damaged file; `result`: see `checked`."""
        path = self.checked(HISTORY, result)
        try:
            lines = [json.loads(line) for line in read_text(path).splitlines()]
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path} cannot be read ({one_line(error)})") from error
        if not all(isinstance(line, dict) for line in lines):
            raise DataError(f"{path}: expected a mapping in every line")
        return lines


class _Dumper(yaml.SafeDumper):
    """Writes equal values out, so that a file needs no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
