"""How far trainings for a range of values are from those at single ones. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Iterable

from msnas.report.panels import Series
from msnas.report.parameter_axis import ParameterAxis


def largest_gap(fixed: Series, once: Series) -> tuple[float, float] | None:
    """Where the two medians are furthest apart: the parameter, and `once` minus `fixed` there."""
    base = {parameter: one.median for parameter, one in fixed.medians()}
    gaps = [
        (parameter, one.median - base[parameter])
        for parameter, one in once.medians()
        if parameter in base
    ]
    return max(gaps, key=lambda gap: abs(gap[1]), default=None)


def gap_notes(series: Iterable[Series], axis: ParameterAxis) -> list[str]:
    """The largest gap of every quantity that was trained both ways, in one sentence."""
    told = []
    kept = list(series)
    for once in (one for one in kept if one.once):
        for fixed in (one for one in kept if not one.once and one.label == once.label):
            if (gap := largest_gap(fixed, once)) is not None:
                told.append(f"{once.label} {gap[1]:+.3f} (at {axis.words(gap[0])})")
    if not told:
        return []
    return [f"Largest gap of the medians, YOTO minus single trainings: {', '.join(told)}."]
