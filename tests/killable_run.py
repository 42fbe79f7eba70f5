"""Commands in processes of their own, which can be made to kill themselves at a chosen moment.

The process is forked from a server that has PyTorch imported, so a run takes a second. Death is
by SIGKILL, as from `kill -9` or a machine that runs out of memory: nothing is cleaned up.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["msnas.pipeline", "msnas.methods.spos", "hydra", "h5py"])


@dataclass(frozen=True)
class Death:
    """The `count`-th time that `point` is passed in `stage` ("" where there is one only).

    Another signal than SIGKILL is not death yet: the process hears it.
    """

    point: str
    stage: str = ""
    count: int = 1
    number: signal.Signals = signal.SIGKILL


def start(
    overrides: list[str], *, journal: Path, said: Path, death: Death | None = None
) -> BaseProcess:
    """Begin `python train.py <overrides>`.

    The beginning of every epoch adds a line to `journal`; the output goes to the file `said`, and
    standard error to one with the ending `.error`.
    """
    words = ["train.py", *overrides]
    process = _CONTEXT.Process(target=_work, args=(words, ROOT, said, {}, journal, death))
    process.start()
    return process


def finish(process: BaseProcess, *, seconds: float = 300) -> int:
    """Wait for the end; the exit code, negative for a signal."""
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"the run did not end within {seconds} seconds")
    return process.exitcode


def python(
    *words: str, folder: Path = ROOT, environment: Mapping[str, str | None] | None = None
) -> subprocess.CompletedProcess[str]:
    """`python <words>` in a folder: a script, or -m and a module; what is None is unset."""
    with tempfile.TemporaryDirectory() as place:
        said = Path(place) / "said"
        arguments = (list(words), folder, said, dict(environment or {}), None, None)
        process = _CONTEXT.Process(target=_work, args=arguments)
        process.start()
        code = finish(process)
        errors = said.with_suffix(".error").read_text()
        return subprocess.CompletedProcess(words, code, said.read_text(), errors)


def _work(
    words: list[str],
    folder: Path,
    said: Path,
    environment: Mapping[str, str | None],
    journal: Path | None,
    death: Death | None,
) -> None:
    for number, path in ((1, said), (2, said.with_suffix(".error"))):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.chdir(folder)
    for name, value in environment.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    if journal is not None:
        _keep_journal(journal)
    if death is not None:
        _prepare(death)
    sys.path.insert(0, str(folder))
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


def _keep_journal(journal: Path) -> None:
    from msnas.training.stage_module import StageModule

    begin = StageModule._begin_epoch

    def noted(self: StageModule) -> None:
        with journal.open("a") as file:
            file.write(f"{type(self).__name__} {self.seed} {self.current_epoch}\n")
        begin(self)

    StageModule._begin_epoch = noted  # type: ignore[method-assign]


def _prepare(death: Death) -> None:
    """Replace the function at the point of death by one that counts, and dies."""
    global _signal
    _signal = death.number
    passed = 0

    def is_now(stage: str) -> bool:
        nonlocal passed
        if stage != death.stage:
            return False
        passed += 1
        return passed == death.count

    _POINTS[death.point](is_now)


_signal = signal.SIGKILL


def _die() -> None:
    os.kill(os.getpid(), _signal)


IsNow = Callable[[str], bool]


def _stage_of(path: Any) -> str:
    """`<output>/cache/<stage>/<key>...`: the stage; "" elsewhere."""
    parts = Path(path).parts
    return parts[parts.index("cache") + 1] if "cache" in parts else ""


def _class_stage(module: object) -> str:
    return {"Pretraining": "pretrain", "Posttraining": "posttrain"}.get(
        type(module).__name__, "search"
    )


def _in_the_middle_of_an_epoch(is_now: IsNow) -> None:
    from msnas.training.stage_module import StageModule

    backward = StageModule.manual_backward

    def counted(self: StageModule, *arguments: Any, **named: Any) -> None:
        if is_now(_class_stage(self)):
            _die()
        backward(self, *arguments, **named)

    StageModule.manual_backward = counted  # type: ignore[method-assign]


def _in_validation(is_now: IsNow) -> None:
    from msnas.training.stage_module import StageModule

    end = StageModule.on_validation_epoch_end

    def counted(self: StageModule) -> None:
        end(self)
        if is_now(_class_stage(self)):
            _die()

    StageModule.on_validation_epoch_end = counted  # type: ignore[method-assign]


def _around_rename(module: str, *, before: bool, name: str = "*") -> Callable[[IsNow], None]:
    """Renames of a module to a path that matches `name`."""

    def prepare(is_now: IsNow) -> None:
        def replace(source: Any, target: Any) -> None:
            now = Path(target).match(name) and is_now(_stage_of(target))
            if now and before:
                _die()
            os.replace(source, target)
            if now:
                _die()

        # the module sees another `os`, everything else the real one
        patched = SimpleNamespace(**{**vars(os), "replace": replace})
        sys.modules[module].os = patched  # type: ignore[attr-defined]

    return prepare


def _half_written(name: str) -> Callable[[IsNow], None]:
    """Any file of PyTorch's called so: half of its bytes, then the end."""

    def prepare(is_now: IsNow) -> None:
        import pytorch_lightning as pl
        import torch

        save, save_checkpoint = torch.save, pl.Trainer.save_checkpoint

        def cut(path: Path) -> None:
            os.truncate(path, path.stat().st_size // 2)
            _die()

        def saved(value: Any, target: Any, *arguments: Any, **named: Any) -> None:
            save(value, target, *arguments, **named)
            if not isinstance(target, str | Path) or not Path(target).match(name):
                return
            if is_now(_stage_of(target)):
                cut(Path(target))

        def checkpointed(self: pl.Trainer, path: Any, *arguments: Any, **named: Any) -> None:
            save_checkpoint(self, path, *arguments, **named)
            if Path(path).match(name) and is_now(_stage_of(path)):
                cut(Path(path))

        torch.save = saved
        pl.Trainer.save_checkpoint = checkpointed  # type: ignore[method-assign]

    return prepare


def _before_call(module: str, owner: str, name: str) -> Callable[[IsNow], None]:
    def prepare(is_now: IsNow) -> None:
        found = getattr(sys.modules[module], owner)
        original = getattr(found, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            if is_now(""):
                _die()
            return original(*arguments, **named)

        setattr(found, name, counted)

    return prepare


CHECKPOINT = "*.partial/record.json"
"""A checkpoint counts once its record is there."""

_POINTS: dict[str, Callable[[IsNow], None]] = {
    "in the middle of an epoch": _in_the_middle_of_an_epoch,
    "in validation": _in_validation,
    "half a checkpoint": _half_written("epoch-*.ckpt"),
    "before the rename of a checkpoint": _around_rename(
        "msnas.storage", before=True, name=CHECKPOINT
    ),
    "after the rename of a checkpoint": _around_rename(
        "msnas.storage", before=False, name=CHECKPOINT
    ),
    "half the weights": _half_written("weights.pt"),
    "before the rename of an entry": _around_rename("msnas.training.store", before=True),
    "after the rename of an entry": _around_rename("msnas.training.store", before=False),
    "before the selection": _before_call("msnas.scoring", "Scoring", "rank"),
    "in the evaluation": _before_call("msnas.scoring", "Scoring", "score_at"),
    "before the test": _before_call("msnas.scoring", "Scoring", "test"),
    "half the model": _half_written(".model.ckpt.new"),
    "before the history": _before_call("msnas.run_directory", "RunDirectory", "write_history"),
    "before the result": _before_call("msnas.run_directory", "RunDirectory", "write_result"),
    "half the result": _around_rename("msnas.storage", before=True, name="result.json"),
    "before the mirror": _around_rename("msnas.storage", before=False, name="result.json"),
    "half the mirror": _around_rename("msnas.storage", before=True, name="wandb"),
}
