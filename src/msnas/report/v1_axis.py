"""An axis for the weight of the first task, v1, from 0 to 1 with both ends.

Between .001 and .999 it is logarithmic in the odds v1 / (1 - v1); nearer to an end it is linear, so
that 0 and 1 have a place. Marks on the axis show where it changes. The same positions serve figures
on paper and on the page.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from msnas.report.style import axis_break

NEAREST = 0.001
"""From here to the end the axis is linear."""

END = 0.8
"""Length of each linear part, in decades of the odds."""

TICKS = {
    "0": 0.0,
    ".001": 0.001,
    ".01": 0.01,
    ".1": 0.1,
    ".5": 0.5,
    ".9": 0.9,
    ".99": 0.99,
    ".999": 0.999,
    "1": 1.0,
}

_TURN = float(np.log10((1 - NEAREST) / NEAREST))


def v1_position(v1: Float[np.ndarray, "*n"] | float) -> Float[np.ndarray, "*n"]:
    """Where on the axis v1 in [0, 1] stands; 0 for v1 = 0.5, and symmetric around it.

    >>> [round(float(x), 3) for x in v1_position(np.array([0, 0.001, 0.1, 0.5, 0.9, 1]))]
    [-3.8, -3.0, -0.954, 0.0, 0.954, 3.8]
    """
    values = np.asarray(v1, dtype=float)
    if np.any((values < 0) | (values > 1)):
        raise ValueError(f"v1 must be in [0, 1], found {values.min()} to {values.max()}")
    inside = np.clip(values, NEAREST, 1 - NEAREST)
    low = np.clip((NEAREST - values) / NEAREST, 0, 1)
    high = np.clip((values - 1 + NEAREST) / NEAREST, 0, 1)
    return np.asarray(np.log10(inside / (1 - inside)) + END * (high - low))


def v1_axis(axes: Axes, *, label: str = r"task 1 weight $v_1$") -> None:
    """Make the x axis of `axes`, on which things stand at `v1_position`, one of v1."""
    end = float(v1_position(1.0))
    axes.set_xlim(-end - 0.4, end + 0.4)
    axes.set_xticks(v1_position(np.array(list(TICKS.values()))).tolist(), list(TICKS))
    axes.tick_params(axis="x", which="minor", bottom=False, top=False)
    axes.set_xlabel(label)
    for place in (-_TURN - END / 2, _TURN + END / 2):
        axis_break(axes, place)


def plotly_v1_axis(*, title: str = "task 1 weight v<sub>1</sub>") -> dict[str, Any]:
    """The settings of a plotly x axis on which things stand at `v1_position`."""
    end = float(v1_position(1.0))
    return {
        "title": {"text": title},
        "tickvals": v1_position(np.array(list(TICKS.values()))).tolist(),
        "ticktext": list(TICKS),
        "range": [-end - 0.4, end + 0.4],
        "zeroline": False,
    }
