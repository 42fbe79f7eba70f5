"""The knee of a front, by hand."""

from __future__ import annotations

import pandas as pd
import pytest
from made_imbalance import near

from msnas.results.front import knee, mean_front

LOW_HIGH = (False, True)


def front_of(*values: tuple[float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(values, columns=["v1", "x", "y"])


def test_the_knee_is_furthest_from_the_chord() -> None:
    # scaled, 1 best: MSE 5 to 1 is 0, .5, .75, 1; AUC .9 to .8 is 1, .9, .6, 0: sums 1, 1.4, 1.35
    front = front_of((0.1, 5, 0.90), (0.3, 3, 0.89), (0.6, 2, 0.86), (0.9, 1, 0.80))
    assert knee(front, higher=LOW_HIGH) == 0.3
    # axes in other units do not matter, nor does the order
    scaled = front.assign(x=7 * front["x"] - 3, y=front["y"] / 9)
    assert knee(scaled[::-1], higher=LOW_HIGH) == 0.3
    # with both directions turned round: the same
    assert knee(front.assign(x=-front["x"], y=-front["y"]), higher=(True, False)) == 0.3


def test_points_that_others_beat_do_not_stretch_the_front() -> None:
    front = front_of((0.1, 5, 0.90), (0.3, 3, 0.89), (0.6, 2, 0.86), (0.9, 1, 0.80))
    beaten = front_of((0.001, 50, 0.85), (0.999, 1.5, 0.2))
    assert knee(pd.concat([front, beaten]), higher=LOW_HIGH) == 0.3


def test_degenerate_fronts_have_a_knee() -> None:
    assert knee(front_of((0.9, 1, 0.9)), higher=LOW_HIGH) == 0.9
    assert knee(front_of((0.1, 1, 0.9), (0.9, 2, 0.8)), higher=LOW_HIGH) == 0.1  # beats the other
    assert knee(front_of((0.2, 2, 0.9), (0.9, 1, 0.8)), higher=LOW_HIGH) == 0.2  # nearest to .5
    straight = front_of((0.01, 3, 0.9), (0.4, 2, 0.8), (0.9, 1, 0.7))
    assert knee(straight, higher=LOW_HIGH) == 0.4
    bent_in = front_of((0.3, 3, 0.9), (0.5, 2.9, 0.71), (0.9, 1, 0.7))
    assert knee(bent_in, higher=LOW_HIGH) == 0.3
    with pytest.raises(ValueError, match="without a point"):
        knee(front_of(), higher=LOW_HIGH)


def test_the_mean_front_and_its_knee() -> None:
    one = front_of((0.1, 5, 0.90), (0.5, 2, 0.89), (0.9, 1, 0.80))
    other = front_of((0.1, 3, 0.92), (0.5, 2.5, 0.86), (0.9, 1, 0.85), (0.99, 0.5, 0.5))
    mean = mean_front(pd.concat([one, other]))
    assert mean["n"].tolist() == [2, 2, 2, 1]
    both = mean[mean["n"] == 2]
    assert list(both[["v1", "x", "y"]].itertuples(index=False, name=None)) == near(
        [(0.1, 4, 0.91), (0.5, 2.25, 0.875), (0.9, 1, 0.825)]
    )
    # the other, scaled: 0 + 1, .2 + .857, .8 + .833, 1 + 0; the mean: .583 + .588 is above 1
    assert knee(other, higher=LOW_HIGH) == 0.9
    assert knee(one, higher=LOW_HIGH) == knee(both, higher=LOW_HIGH) == 0.5
