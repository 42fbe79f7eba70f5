"""The tables of the terminal on intermediate outputs of a run. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.table import Table

from msnas.results.honesty import InterventionNumbers, LeakageNumbers
from msnas.terminal import number, text_table


def honesty_tables(
    interventions: InterventionNumbers | None, leakage: Mapping[str, LeakageNumbers], part: str
) -> Iterator[Table]:
    """Tables of interventions and leakage on one part of the data, if they were measured."""
    if interventions:
        base = interventions["base"]
        rows = [_row("nothing", base, base, {})]
        rows += [
            _row(one["name"], one["values"], base, one["errors"]) for one in interventions["groups"]
        ]
        yield text_table(
            f"{interventions['task']}, {part} events, with the truth in place of earlier outputs "
            "(difference +- its standard error)",
            rows,
        )
    if leakage:
        yield text_table(
            f"Leakage, {part} events: information on the last task's classes, in shares of all",
            (
                {
                    "task": task,
                    "in the output": f"{one['output']:.3f}",
                    "in the truth": f"{one['truth']:.3f}",
                    "leakage": f"{one['leakage']:.3f}",
                    "95 % interval": f"{one['low']:.3f} to {one['high']:.3f}",
                }
                for task, one in leakage.items()
            ),
        )


def _row(
    name: str, values: Mapping[str, float], base: Mapping[str, float], errors: Mapping[str, float]
) -> dict[str, str]:
    row = {"truth of": name}
    for metric, value in values.items():
        short = metric.split("/", 1)[1]
        row[short] = number(value)
        row[f"{short}: difference"] = ""
        if errors:
            difference = number(value - base[metric], "+", beside=value)
            error = number(errors[metric], beside=value)
            row[f"{short}: difference"] = f"{difference} +- {error}"
    return row
