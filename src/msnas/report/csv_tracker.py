"""The history of a run as one CSV table."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import Any, final

from msnas.report.tracker import Tracker
from msnas.results.records import numbers_of
from msnas.run_directory import RunDirectory
from msnas.storage import whole

TABLE = "history.csv"


@final
class CsvTracker(Tracker):
    """Writes history.csv into the run directory: a line per epoch of every training.

    Columns are stage and model, then each number; for mappings such as alpha a column per task
    and candidate, `alpha/<task>/<candidate>`. A number that an epoch does not have is left empty.
    """

    def missing(self, directory: RunDirectory) -> bool:
        """Whether history.csv is missing."""
        return not (directory.path / TABLE).exists()

    def mirror(self, directory: RunDirectory, result: Mapping[str, Any]) -> str:
        """Write history.csv."""
        path = directory.path / TABLE
        lines = [
            {"stage": line["stage"], "model": line["model"], **numbers_of(line)}
            for line in directory.history()
        ]
        columns = dict.fromkeys(
            ["stage", "model", "epoch", *(name for line in lines for name in line)]
        )
        path.unlink(missing_ok=True)
        with whole(path) as new, new.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(columns))
            writer.writeheader()
            writer.writerows(lines)
        return f"History as a table: {path}"
