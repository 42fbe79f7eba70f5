"""Evaluates a finished run again: at any value of its conditioning, and under shifts.

`python -m msnas.evaluate run=<dir> task_weight=0.1,0.5,0.9 shifts=jet_energy_scale,pixel_noise`
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING

from msnas.command_line import parse_with_conditions
from msnas.errors import MsnasError
from msnas.packages import allowing
from msnas.report.honesty_tables import honesty_tables
from msnas.report.shift_tables import shift_tables
from msnas.results.records import is_number
from msnas.storage import whole
from msnas.terminal import number, terminal, text_table

if TYPE_CHECKING:
    from msnas.conditioning.conditioning import Point


class Part(Enum):
    """Parts of the data that a run can be evaluated on."""

    test = "test"
    valid = "valid"


@dataclass
class Settings:
    """Keys of the command."""

    run: str = field(default=MISSING, metadata={"help": "directory of a finished run"})
    part: Part = field(default=Part.test, metadata={"help": "which events"})
    shifts: list[str] = field(
        default_factory=list,
        metadata={
            "help": "shifts of the inputs to evaluate under, the run's own or options of "
            "conf/shift; a value of one as shifts.<name>.<key>="
        },
    )
    out: str | None = field(default=None, metadata={"help": "JSON file to write"})
    allow: list[str] = field(
        default_factory=list,
        metadata={"help": "packages beside msnas that you trust, whose classes the run may name"},
    )


def evaluate_run(settings: Settings, conditions: Mapping[str, str]) -> list[dict[str, Any]]:
    """Numbers of the run's chain: for every chosen point its `parameters` and `values`.

    Also `interventions` and `leakage` (see docs/honest_outputs.md), and all of these numbers under
    the `shifts` (see docs/shifts.md). Nothing is trained: the chain that would be chosen under a
    shift is given only if the trainings of the search are still in the run's store.

    Raises DataError for a run that is not finished or data that have changed since, ConfigError
    for a parameter that the run is not conditioned on.
    """
    with allowing(settings.allow):
        return _evaluate(settings, conditions)


def _evaluate(settings: Settings, conditions: Mapping[str, str]) -> list[dict[str, Any]]:
    from msnas.conditioning.chosen import chosen_points
    from msnas.opened import open_run
    from msnas.pipeline import shift_record

    conditions, changes = _apart(conditions)
    run = open_run(Path(settings.run), shifts=settings.shifts, changes=changes)
    points = chosen_points(conditions, run.trained.conditioning, run.trained.point)
    judges = run.trained.judges_of_validity() if settings.shifts else {}
    everywhere: list[Point | None] = [*points] or [None]
    found = []
    for point in everywhere:
        told = run.parts.scoring.again(run.chain, run.path, settings.part.value, point, judges)
        record = shift_record(told.pop("shifts", {}), run.scores, run.parts.plan.chain, run.path)
        shifts = {} if record is None else {"shifts": record}
        found.append({"parameters": point or {}, **told, **shifts})
    return found


def _apart(conditions: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Split values by key into those of the run's conditioning and those of shifts."""
    ours = {key: text for key, text in conditions.items() if key.startswith("shifts.")}
    return {key: text for key, text in conditions.items() if key not in ours}, ours


def main(arguments: list[str]) -> None:
    """Run the command."""
    settings, conditions = parse_with_conditions(
        arguments,
        Settings,
        program="python -m msnas.evaluate",
        description="A finished run's numbers, at any value of what it is conditioned on and under "
        "shifts of the inputs.",
    )
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        found = evaluate_run(settings, conditions)
        if settings.out is not None:
            with whole(Path(settings.out)) as new:
                new.write_text(json.dumps(found, indent=1) + "\n")
    except (MsnasError, OSError) as error:
        sys.exit(f"error: {error}")
    console = terminal()
    rows = (
        {
            **{name: f"{value:g}" for name, value in one["parameters"].items()},
            **{name: number(value) for name, value in one["values"].items() if is_number(value)},
        }
        for one in found
    )
    labels = len(found[0]["parameters"]) or 1
    console.print(text_table(f"Numbers of the {settings.part.value} events", rows, labels=labels))
    for one in found:
        at = ", ".join(f"{name}={value:g}" for name, value in one["parameters"].items())
        part = settings.part.value
        for told in (
            *honesty_tables(one["interventions"], one["leakage"], part),
            *shift_tables(
                one.get("shifts"), one["values"], one["interventions"], one["leakage"], part
            ),
        ):
            told.caption = at and f"at {at}"
            console.print(told)


if __name__ == "__main__":
    main(sys.argv[1:])
