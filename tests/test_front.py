"""The knee of a front, by hand."""

from __future__ import annotations

import pytest
from made_imbalance import near

from msnas.results.front import FrontPoint, knee, mean_front, recommended_v1


def front_of(*values: tuple[float, float, float]) -> list[FrontPoint]:
    return [FrontPoint(v1=v1, first=first, last=last) for v1, first, last in values]


LOW_HIGH = {"first_higher": False, "last_higher": True}


def test_the_knee_is_furthest_from_the_chord() -> None:
    # scaled, 1 best: MSE 5 to 1 is 0, .5, .75, 1; AUC .9 to .8 is 1, .9, .6, 0: sums 1, 1.4, 1.35
    front = front_of((0.1, 5, 0.90), (0.3, 3, 0.89), (0.6, 2, 0.86), (0.9, 1, 0.80))
    assert knee(front, **LOW_HIGH) == 0.3
    # axes in other units do not matter, nor does the order
    scaled = [FrontPoint(v1=one.v1, first=7 * one.first - 3, last=one.last / 9) for one in front]
    assert knee(scaled[::-1], **LOW_HIGH) == 0.3
    # with both directions turned round: the same
    turned = [FrontPoint(v1=one.v1, first=-one.first, last=-one.last) for one in front]
    assert knee(turned, first_higher=True, last_higher=False) == 0.3


def test_points_that_others_beat_do_not_stretch_the_front() -> None:
    front = front_of((0.1, 5, 0.90), (0.3, 3, 0.89), (0.6, 2, 0.86), (0.9, 1, 0.80))
    beaten = front_of((0.001, 50, 0.85), (0.999, 1.5, 0.2))
    assert knee([*front, *beaten], **LOW_HIGH) == 0.3


def test_degenerate_fronts_have_a_knee() -> None:
    assert knee(front_of((0.9, 1, 0.9)), **LOW_HIGH) == 0.9
    assert knee(front_of((0.1, 1, 0.9), (0.9, 2, 0.8)), **LOW_HIGH) == 0.1  # beats the other
    assert knee(front_of((0.2, 2, 0.9), (0.9, 1, 0.8)), **LOW_HIGH) == 0.2  # ends: nearest to .5
    straight = front_of((0.01, 3, 0.9), (0.4, 2, 0.8), (0.9, 1, 0.7))
    assert knee(straight, **LOW_HIGH) == 0.4
    bent_in = front_of((0.3, 3, 0.9), (0.5, 2.9, 0.71), (0.9, 1, 0.7))
    assert knee(bent_in, **LOW_HIGH) == 0.3
    with pytest.raises(ValueError, match="without a point"):
        knee([], **LOW_HIGH)


def test_the_mean_front_and_what_it_recommends() -> None:
    fronts = {
        1: front_of((0.1, 5, 0.90), (0.5, 2, 0.89), (0.9, 1, 0.80)),
        0: front_of((0.1, 3, 0.92), (0.5, 2.5, 0.86), (0.9, 1, 0.85), (0.99, 0.5, 0.5)),
    }
    mean = mean_front(list(fronts.values()))
    assert [(one.v1, one.first, one.last) for one in mean] == near(
        [(0.1, 4, 0.91), (0.5, 2.25, 0.875), (0.9, 1, 0.825)]
    )
    found = recommended_v1(fronts, **LOW_HIGH)
    # seed 0, scaled: 0 + 1, .2 + .857, .8 + .833, 1 + 0; mean: .583 + .588 is above 1
    assert dict(found.seeds) == {0: 0.9, 1: 0.5}
    assert found.mean == 0.5
