"""Metrics that consist of several numbers."""

from __future__ import annotations

from collections.abc import Sequence

from msnas.libraries import Metric
from msnas.part import Part


class VariableMetric(Part, Metric):
    """A metric with one number for each of its `variables`."""

    def __init__(self, *, variables: Sequence[str]) -> None:
        super().__init__()
        self.variables = tuple(variables)
