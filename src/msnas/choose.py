"""How sure the choice of the best chain is: `python -m msnas.choose runs=runs/htautau`.

See docs/choice.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

from omegaconf import MISSING

from msnas.command_line import parse
from msnas.confidence import CONFIDENCE, check_confidence
from msnas.errors import ConfigError, DataError, MsnasError
from msnas.report.choice import show_choice
from msnas.results.choice import Choice, check_data, choices_of
from msnas.results.runs import OtherRun, collect
from msnas.storage import whole
from msnas.terminal import say, terminal

NAME = "choice.json"


class Over(Enum):
    """What could have been different: seeds and events (`both`), or events alone."""

    both = "both"
    events = "events"


@dataclass
class Settings:
    """Keys of the command."""

    runs: list[str] = field(
        default=MISSING, metadata={"help": "folders with run directories, at any depth"}
    )
    confidence: float = field(
        default=CONFIDENCE, metadata={"help": "of the tie set and the intervals, above 0.5"}
    )
    task_weight: float | None = field(
        default=None, metadata={"help": "only runs of this v1; null: all"}
    )
    over: Over | None = field(
        default=None,
        metadata={
            "help": "what may be otherwise: seeds and events, or events alone; null: both where "
            "there are two seeds"
        },
    )
    out: str | None = field(
        default=None, metadata={"help": f"folder for {NAME}; null: write nothing"}
    )


def choose(
    runs: str | Path | Sequence[str | Path],
    *,
    confidence: float = CONFIDENCE,
    task_weight: float | None = None,
    over: str | None = None,
) -> list[Choice]:
    """How sure the choices of chains by the runs below some folders are.

    Runs that differ in their seed alone are taken together. Raises ConfigError for a setting out of
    range, DataError without two chains to choose from, or for chains judged on different events.
    """
    folders = [runs] if isinstance(runs, str | Path) else runs
    settings = Settings(
        runs=[str(folder) for folder in folders],
        confidence=confidence,
        task_weight=task_weight,
        over=None if over is None else _over(over),
    )
    return _choose(settings)[0]


def _over(word: str) -> Over:
    if word not in Over.__members__:
        raise ConfigError(f"over: found {word!r}, allowed are both, events or None")
    return Over[word]


def _choose(settings: Settings) -> tuple[list[Choice], list[OtherRun]]:
    check_confidence(settings.confidence)
    runs = collect([Path(folder) for folder in settings.runs])
    finished = list(runs.finished)
    if settings.task_weight is not None:
        finished = [
            run for run in finished if run.v1 is not None and _same(run.v1, settings.task_weight)
        ]
        if runs.finished and not finished:
            known = sorted({round(run.v1, 9) for run in runs.finished if run.v1 is not None})
            raise ConfigError(
                f"task_weight: found {settings.task_weight:g}, allowed are those of the runs: "
                f"{', '.join(f'{one:g}' for one in known)}"
            )
    over = None if settings.over is None else settings.over.value
    choices, others = choices_of(
        finished,
        confidence=settings.confidence,
        over=over,  # type: ignore[arg-type]
    )
    others = [*runs.others, *others]
    if not choices:
        check_data(finished)
        told = [f"  {one.directory}: {one.reason}" for one in others] or ["  no finished run"]
        where = ", ".join(settings.runs)
        raise DataError("\n".join([f"runs: nothing to choose from below {where}", *told]))
    return choices, others


def _same(one: float, other: float) -> bool:
    return abs(one - other) < 1e-9


def write(choices: Sequence[Choice], folder: Path) -> Path:
    """Write choice.json into `folder`, over an earlier file; raise DataError if that fails."""
    content = {
        "schema": 1,
        "choices": [
            {
                "problem": choice.runs[0].problem,
                "method": choice.label,
                "task_weights": dict(choice.runs[0].task_weights),
                "runs": [str(run.directory) for run in choice.runs],
                "words": choice.words(),
                **choice.to_json(),
            }
            for choice in choices
        ],
    }
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with whole(path, alone=False) as new:
            new.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise DataError(f"out: cannot write into {folder} ({error})") from error
    return path


def main(arguments: list[str]) -> None:
    """Run the command."""
    settings: Any = parse(
        arguments,
        Settings,
        program="python -m msnas.choose",
        description="How sure the choice among chains is, of alike runs over their seeds: the "
        "probability of each chain to be the best, its regret, and what would tell more.",
    )
    console = terminal()
    try:
        choices, others = _choose(settings)
        path = None if settings.out is None else write(choices, Path(settings.out))
    except MsnasError as error:
        sys.exit(f"error: {error}")
    for choice in choices:
        show_choice(choice, console)
    if others:
        say(console, f"\nNot used ({len(others)}):")
        for other in others:
            say(console, f"  {other.directory}: {other.reason}")
    if path is not None:
        say(console, f"\nWritten: {path}")


class _Command(ModuleType):
    """Makes this module callable: `msnas.choose` is a module and a function."""

    __call__ = staticmethod(choose)


sys.modules[__name__].__class__ = _Command


if __name__ == "__main__":
    main(sys.argv[1:])
