"""What result.json tells of shifts of the inputs. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired

from typing_extensions import TypedDict

from msnas.results.honesty import InterventionNumbers, LeakageNumbers
from msnas.results.records import Number, open_and_strict


@open_and_strict
class ScoreNumbers(TypedDict):
    """Quantiles of a class's score, and the largest difference of its distribution functions."""

    quantiles: dict[str, Number]
    distance: NotRequired[Number]


@open_and_strict
class ShiftNumbers(TypedDict):
    """A chain's numbers under a shift; `interventions` are empty where there is nothing to replace.

    `size` has the sign of the direction.
    """

    shift: str
    direction: str
    size: Number
    values: dict[str, Any]
    interventions: InterventionNumbers | dict[str, Any]
    leakage: dict[str, LeakageNumbers]
    score: dict[str, ScoreNumbers]


@open_and_strict
class ChosenNumbers(TypedDict):
    """The chain of the lowest validation loss under a shift, and what the selected one loses to it.

    `shift` is `worst_case` for the largest loss of all.
    """

    shift: str
    selected: dict[str, str]
    regret: Number


@open_and_strict
class ShiftRecord(TypedDict):
    """Scores as they are, by class; numbers under each shift; what would be chosen under it."""

    score: dict[str, ScoreNumbers]
    points: list[ShiftNumbers]
    choice: NotRequired[list[ChosenNumbers]]


def chosen_under(
    losses: Sequence[Mapping[str, float]],
    selected: Sequence[Mapping[str, str]],
    own: Mapping[str, str],
) -> list[ChosenNumbers]:
    """Which of the ranked chains would be chosen under each shift, and the regret of `own`.

    `losses` of each chain are by shift; `selected` are the chains. Empty without two chains.
    """
    if len(losses) < 2 or own not in selected:
        return []
    place = selected.index(own)
    found: list[ChosenNumbers] = []
    for shift in losses[0]:
        column = [one[shift] for one in losses]
        best = min(range(len(column)), key=column.__getitem__)
        regret = column[place] - column[best]
        found.append({"shift": shift, "selected": dict(selected[best]), "regret": regret})
    return found
