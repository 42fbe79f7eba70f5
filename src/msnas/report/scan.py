"""The runs a report is about, read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from msnas.report.collect import FinishedRun, OtherRun
from msnas.report.frame import conditions_frame, frame_of
from msnas.report.quantities import Quantities, quantities_of


@dataclass(frozen=True)
class Scan:
    """Finished runs, the others with a reason each, and the finished ones as tables."""

    runs: Sequence[FinishedRun]
    others: Sequence[OtherRun]

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per finished run, see `frame_of`."""
        return frame_of(self.runs)

    @cached_property
    def conditions(self) -> pd.DataFrame:
        """One row per run and condition, see `conditions_frame`."""
        return conditions_frame(self.runs)

    @cached_property
    def quantities(self) -> Quantities:
        """The first and the last task's metric, and validity; the runs are of one problem."""
        return quantities_of(self.runs)
