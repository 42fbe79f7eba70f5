"""Records in result.json of how a chain does under shifts of its inputs. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired

from typing_extensions import TypedDict

from msnas.results.honesty import InterventionNumbers, LeakageNumbers
from msnas.results.records import Number, open_and_strict


@open_and_strict
class ScoreNumbers(TypedDict):
    """Quantiles of a class's score; `distance` is that of Kolmogorov and Smirnov to no shift."""

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
    """The chain of lowest validation loss under a shift, and the selected chain's regret to it.

    `shift` is `worst_case` for the largest loss over all shifts.
    """

    shift: str
    selected: dict[str, str]
    regret: Number


@open_and_strict
class ShiftRecord(TypedDict):
    """Scores without shift, by class; numbers under each shift; the best chain under each shift."""

    score: dict[str, ScoreNumbers]
    points: list[ShiftNumbers]
    choice: NotRequired[list[ChosenNumbers]]


def chosen_under(
    losses: Sequence[Mapping[str, float]],
    selected: Sequence[Mapping[str, str]],
    own: Mapping[str, str],
) -> list[ChosenNumbers]:
    """The ranked chain that would be chosen under each shift, and the regret of the chain `own`.

    `losses` has, for each chain of `selected`, the loss by shift. Empty for fewer than two chains.
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
