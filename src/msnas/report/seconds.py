"""How long trainings of two kinds took. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from msnas.report.collect import FinishedRun


def seconds_notes(fixed: Sequence[FinishedRun], once: Sequence[FinishedRun]) -> list[str]:
    """Time of one training of either kind, if both are known."""
    single, whole = seconds(fixed), seconds(once)
    if single is None or whole is None:
        return []
    return [f"Median time of a training: {single:.3g} s at one value, {whole:.3g} s with YOTO."]


def seconds(runs: Sequence[FinishedRun]) -> float | None:
    """Median time of search and post-training, also of what came from the cache."""
    found = [
        sum(
            float(stage.get("seconds", 0)) + float(stage.get("cached_seconds", 0))
            for name, stage in run.result["stages"].items()
            if name in ("search", "posttrain")
        )
        for run in runs
        if run.result.get("stages")
    ]
    return float(np.median(found)) if found else None
