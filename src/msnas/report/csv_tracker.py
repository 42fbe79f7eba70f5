"""The history as one table."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import Any, final

from msnas.report.tracker import Tracker
from msnas.run_directory import RunDirectory


@final
class CsvTracker(Tracker):
    """Writes history.csv into the run directory: a line per epoch of every training."""

    def mirror(self, directory: RunDirectory, result: Mapping[str, Any]) -> str:
        """Write the table."""
        lines = directory.history()
        columns = list(dict.fromkeys(name for line in lines for name in line))
        path = directory.path / "history.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(lines)
        return f"History as a table: {path}"
