"""Records in result.json of how honest the intermediate outputs are. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from typing_extensions import TypedDict

from msnas.errors import DataError
from msnas.results.records import Number, open_and_strict


@open_and_strict
class ReplacedNumbers(TypedDict):
    """The last task's numbers with some earlier outputs replaced, and errors of the difference."""

    of: str
    task: str
    name: str
    values: dict[str, Number]
    errors: dict[str, Number]


@open_and_strict
class InterventionNumbers(TypedDict):
    """The last task's numbers with earlier outputs replaced by the truth, on test events.

    On the `curve` the outputs are replaced one after the other. First come the outputs whose own
    replacement gains most in `ordered_by` on validation events.
    """

    task: str
    ordered_by: str
    base: dict[str, Number]
    groups: list[ReplacedNumbers]
    curve: list[ReplacedNumbers]


@open_and_strict
class LeakageNumbers(TypedDict):
    """Information on the last task's class y in a task's output and truth, in shares of H(y).

    `leakage` is output minus truth, at least 0, with the 95 % interval `low` to `high`.
    """

    leakage: Number
    low: Number
    high: Number
    output: Number
    truth: Number


@open_and_strict
class HonestyNumbers(TypedDict):
    """At one point of a conditioning: by task the validity on validation events, and the leakage.

    The leakage is on validation events (`valid`), and at the run's own point also on `test` events.
    """

    parameters: dict[str, Number]
    validity: dict[str, Number]
    leakage: dict[str, dict[str, LeakageNumbers]]


def check_interventions(result: Mapping[str, Any], chain: Iterable[str], *, where: str) -> None:
    """Raise DataError unless all rows of the interventions hold the same numbers."""
    if (told := result.get("interventions")) is None:
        return
    names = set(told["base"])
    if told["task"] not in chain or told["ordered_by"] not in names:
        raise DataError(
            f"{where}: interventions: no task {told['task']!r}, or no "
            f"number {told['ordered_by']!r} in base"
        )
    for one in (*told["groups"], *told["curve"]):
        if set(one["values"]) != names or set(one["errors"]) != names:
            raise DataError(f"{where}: interventions: {one['name']!r} has other numbers than base")
