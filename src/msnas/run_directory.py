"""The files of one run; it is complete on its own. Imports no PyTorch."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import yaml

from msnas.errors import DataError, MsnasError

if TYPE_CHECKING:
    from msnas.plan import Plan


def one_line(error: BaseException) -> str:
    """An error's message; with its class, unless it is one raised on purpose."""
    text = " ".join(str(error).split())
    return text if isinstance(error, MsnasError) else f"{type(error).__name__}: {text}"


@final
class RunDirectory:
    """config.yaml (resolved), result.json, history.jsonl, model.ckpt and log below `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def model(self) -> Path:
        """The selected chain; loads with weights_only=True."""
        return self.path / "model.ckpt"

    @property
    def outputs(self) -> Path:
        """What the selected chain puts out for the test events, with their truth."""
        return self.path / "outputs.h5"

    @property
    def log(self) -> Path:
        """What was said on the way."""
        return self.path / "log"

    @property
    def lock(self) -> Path:
        """Held while a process works on this run."""
        return self.path.with_name(self.path.name + ".lock")

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the resolved configuration."""
        self._write("config.yaml", yaml.safe_dump(dict(config), sort_keys=False))

    def config(self) -> dict[str, Any]:
        """The resolved configuration."""
        loaded: dict[str, Any] = yaml.safe_load(self._read("config.yaml"))
        return loaded

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Write the result: last of all, it makes the run a finished one."""
        self._write("result.json", json.dumps(result, indent=1, allow_nan=False) + "\n")

    def write_failure(self, plan: Plan, error: BaseException) -> None:
        """Write what ended the run, and how many attempts have ended so by now."""
        self.write_result(
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
            }
        )

    def finished(self) -> dict[str, Any] | None:
        """The result of a run that ended well."""
        result = self._readable_result()
        return result if result.get("status", "failed") == "finished" else None

    def failure(self) -> dict[str, Any] | None:
        """The record of a run that ended with an error: `error`, `traceback`, `attempts`."""
        result = self._readable_result()
        return result if result.get("status", "finished") == "failed" else None

    def damage(self) -> str | None:
        """Why the result that is there cannot be read."""
        try:
            result = self.result()
        except (OSError, ValueError) as error:
            return one_line(error)
        if result is not None and not isinstance(result, dict):
            return f"expected a mapping, found {type(result).__name__}"
        return None

    def _readable_result(self) -> dict[str, Any]:
        try:
            result = self.result()
        except (OSError, ValueError):
            return {}
        return result if isinstance(result, dict) else {}

    def result(self) -> dict[str, Any] | None:
        """What result.json holds, of whatever status; None before there is one."""
        if not (self.path / "result.json").is_file():
            return None
        loaded: dict[str, Any] = json.loads(self._read("result.json"))
        return loaded

    def drop_result(self) -> None:
        """Make a finished run an unfinished one."""
        (self.path / "result.json").unlink(missing_ok=True)

    def write_history(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Write the epochs of all stages, one JSON object a line."""
        self._write("history.jsonl", "".join(json.dumps(line) + "\n" for line in lines))

    def history(self) -> list[dict[str, Any]]:
        """The epochs of all stages."""
        return [json.loads(line) for line in self._read("history.jsonl").splitlines()]

    def _write(self, name: str, text: str) -> None:
        new = self.path / f".{name}.new"
        new.write_text(text)
        os.replace(new, self.path / name)

    def _read(self, name: str) -> str:
        path = self.path / name
        if not path.is_file():
            raise DataError(f"{path} not found; expected the directory of a finished run")
        return path.read_text()
