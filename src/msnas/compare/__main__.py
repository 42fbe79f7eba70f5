"""Compare methods with grid search, seed by seed: `python -m msnas.compare runs=runs/htautau`.

See docs/compare.md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from msnas.command_line import parse
from msnas.compare.compared import compare_group
from msnas.compare.groups import Group, group_runs
from msnas.compare.output import Comparison, show, write
from msnas.errors import ConfigError, DataError, MsnasError
from msnas.packages import allowing
from msnas.results.constrained import Bounds, recommendations
from msnas.results.hypervolume import fronts_of
from msnas.results.quality import TABLE_METHOD
from msnas.results.runs import OtherRun, collect
from msnas.terminal import say, terminal


@dataclass
class Settings:
    """Keys of the command."""

    runs: list[str] = field(
        default=MISSING, metadata={"help": "folders with run directories, at any depth"}
    )
    reference: str = field(
        default=TABLE_METHOD,
        metadata={
            "help": "method whose test metrics the others' are compared with; rankings are "
            f"always compared with those of {TABLE_METHOD}"
        },
    )
    out: str | None = field(
        default=None,
        metadata={"help": "folder for compare.json and compare.csv; null: <first of runs>/compare"},
    )
    confidence: float = field(default=0.95, metadata={"help": "of the intervals, such as 0.68"})
    validity: float = field(
        default=0.95, metadata={"help": "joint validity that a recommended v1 has at least"}
    )
    leakage: float = field(
        default=0.0, metadata={"help": "leakage that its interval has to touch, or lie below"}
    )
    allow: list[str] = field(
        default_factory=list,
        metadata={"help": "packages beside msnas that you trust, whose classes the runs may name"},
    )


def compare(settings: Settings) -> Comparison:
    """Compare the runs of different methods in all groups of like runs; recommend a v1.

    Raises ConfigError for a setting out of range, DataError if there is nothing to compare.
    """
    if not 0 < settings.confidence < 1:
        raise ConfigError(f"confidence: expected above 0, below 1, found {settings.confidence}")
    if not settings.runs:
        raise ConfigError("runs: expected at least one folder, found none")
    runs = collect([Path(folder) for folder in settings.runs])
    bounds = Bounds(validity=settings.validity, leakage=settings.leakage)
    recommended = recommendations(runs.finished, bounds)
    fronts = fronts_of(runs.finished, confidence=settings.confidence)
    groups, repeats = group_runs(runs.finished)
    methods = {run.method for run in runs.finished}.union(*(group.runs for group in groups))
    if settings.reference not in {TABLE_METHOD, *methods}:
        raise ConfigError(
            f"reference: {settings.reference!r} is no method of these runs; there are "
            f"{sorted(methods)}"
        )
    others = [*runs.others, *repeats]
    with allowing(settings.allow):
        found = [
            compare_group(group, reference=settings.reference, confidence=settings.confidence)
            for group in groups
        ]
    compared = [one for one in found if one.agreement or one.performance]
    if not compared and not recommended and not fronts:
        raise DataError(_nothing(settings, groups, others))
    used = {id(one.group) for one in compared}
    of_v1 = {run.directory for one in recommended for run in one.runs}
    of_v1 |= {run.directory for one in fronts for run in one.runs}
    others += [
        OtherRun(directory=run.directory, reason=f"nothing to compare it with ({group.describe()})")
        for group in groups
        if id(group) not in used
        for runs in group.runs.values()
        for run in runs.values()
        if run.directory not in of_v1
    ]
    return Comparison(
        reference=settings.reference,
        confidence=settings.confidence,
        finished=len(runs.finished),
        others=others,
        groups=compared,
        recommended=recommended,
        fronts=fronts,
    )


def main(arguments: list[str]) -> None:
    """Run the command."""
    settings: Any = parse(
        arguments,
        Settings,
        program="python -m msnas.compare",
        description="Compare the runs of search methods with grid search's of the same seeds: "
        "rank agreement, regret, hits, and test metrics.",
    )
    out = Path(settings.out or Path((settings.runs or ["."])[0]) / "compare")
    console = terminal()
    try:
        with console.status("reading runs and applying their chains to the test events"):
            comparison = compare(settings)
        paths = write(comparison, out)
    except MsnasError as error:
        sys.exit(f"error: {error}")
    show(comparison, console)
    say(console, f"\nWritten: {', '.join(map(str, paths))}")


def _nothing(settings: Settings, groups: Sequence[Group], others: Sequence[OtherRun]) -> str:
    """The message for no comparison: the runs there are, and the runs that are missing."""
    lines = [f"nothing to compare below {', '.join(settings.runs)}"]
    for group in groups:
        lines.append(f"  {group.describe()}")
        lines.append(f"    found {group.found()}")
        there = {
            seed for label in group.labels_of(settings.reference) for seed in group.runs[label]
        }
        if not there:
            lines.append(f"    missing: runs of {settings.reference} with these settings and seeds")
        elif len(group.runs) == 1:
            lines.append("    missing: runs of another method with these settings and seeds")
        else:
            lines.append(
                f"    missing: two methods with the same seed, one of them {settings.reference}"
            )
    if not groups:
        lines.append("  no finished run")
    lines += [f"  not used: {other.directory}: {other.reason}" for other in others]
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
