"""The tables of the terminal on shifts of the inputs. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from msnas.results.honesty import InterventionNumbers, LeakageNumbers
from msnas.results.records import is_number
from msnas.results.result import VALIDITY
from msnas.results.shifts import ShiftRecord
from msnas.terminal import CHAIN, number, text_table


def shift_tables(
    told: ShiftRecord | None,
    values: Mapping[str, Any],
    interventions: InterventionNumbers | None,
    leakage: Mapping[str, LeakageNumbers],
    part: str,
) -> Iterator[Table]:
    """Tables of a chain's numbers under each shift, and of the chain that would be chosen there."""
    if told is None:
        return
    base = _numbers(values, interventions, leakage)
    rows = [{"shift": "none", "size": ""} | {name: number(one) for name, one in base.items()}]
    for point in told["points"]:
        own = _numbers(point["values"], point["interventions"], point["leakage"])
        row = {"shift": f"{point['shift']} {point['direction']}", "size": f"{point['size']:+g}"}
        row |= {name: number(own[name] - one, "+", beside=one) for name, one in base.items()}
        for name, score in point["score"].items():
            row[f"score of class {name}"] = f"{score.get('distance', 0.0):.4f}"
        rows.append(row)
    yield text_table(
        f"Under shifts of the inputs, {part} events (differences to the events as they are; worth: "
        "what the truth of all earlier outputs adds; score: largest difference of its distribution "
        "functions)",
        rows,
        labels=2,
    )
    if choice := told.get("choice"):
        yield text_table(
            "The choice under shifts (regret: what the selected chain loses in validation loss)",
            (
                {
                    "shift": one["shift"],
                    "best chain": CHAIN.join(one["selected"].values()),
                    "regret": f"{one['regret']:.4f}",
                }
                for one in choice
            ),
        )


def _numbers(
    values: Mapping[str, Any],
    interventions: Mapping[str, Any] | InterventionNumbers | None,
    leakage: Mapping[str, LeakageNumbers],
) -> dict[str, float]:
    """Metrics that are single numbers, joint validity, worth of the truth, and leakage."""
    told = {
        name: value
        for name, value in values.items()
        if is_number(value) and ("validity/" not in name or name.endswith(VALIDITY))
    }
    if interventions:
        by = interventions["ordered_by"]
        with_truth = interventions["groups"][-1]["values"][by]
        told[f"worth, {by}"] = with_truth - interventions["base"][by]
    return told | {f"leakage of {task}": one["leakage"] for task, one in leakage.items()}
