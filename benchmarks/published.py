"""The published numbers, and how they are told: means, paired differences, verdicts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

DOCS = Path(__file__).resolve().parents[1] / "docs"
FOLDER = DOCS / "results"

FILES = ("runs", "chains", "stages", "pairs", "reference", "paper", "imbalance")
"""The CSV files; publish.py says what a row is."""

LEVEL = 0.05
"""A difference whose p-value is above it is called `no difference seen`."""


class Published:
    """The CSV files."""

    def __init__(self, folder: Path = FOLDER) -> None:
        frames = [pd.read_csv(folder / f"{name}.csv") for name in FILES]
        self.runs, self.chains, self.stages, self.pairs, self.reference = frames[:5]
        self.paper, self.imbalance = frames[5:]

    def scan(self, name: str) -> pd.DataFrame:
        """The runs of a scan, without their conditions."""
        chosen = self.runs[(self.runs["scan"] == name) & self.runs["condition"].isna()]
        if chosen.empty:
            raise SystemExit(f"docs/results/runs.csv has no run of the scan {name!r}")
        return chosen


def mean_of(values: Sequence[float] | pd.Series, digits: int = 3) -> str:
    """Mean with half the 95 % interval (Student's t over seeds); alone below five seeds."""
    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    if not len(known):
        return ""
    told = short(known.mean(), digits)
    if len(known) < 5:
        return told
    half = stats.sem(known) * stats.t.ppf(0.975, len(known) - 1)
    return f"{told} +- {short(half, digits)}"


def short(value: float, digits: int = 3, *, sign: bool = False) -> str:
    """A number without the zero before its point."""
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return re.sub(r"^([+-]?)0\.", r"\1.", text)


def difference(first: pd.Series, second: pd.Series, digits: int = 4) -> tuple[str, float]:
    """Mean paired difference with its 95 % interval over seeds, and the p-value of Student's t."""
    values = (first - second).dropna()
    if len(values) < 5 or values.nunique() < 2:
        return short(values.mean(), digits, sign=True), float("nan")
    half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    p_value = float(stats.ttest_1samp(values, 0.0).pvalue)
    return f"{short(values.mean(), digits, sign=True)} +- {short(half, digits)}", p_value


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) adjustment: each is then valid for all of them together."""
    order = np.argsort(p_values)
    adjusted, largest = np.empty(len(p_values)), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return [float(one) for one in adjusted]


def verdict(mean: float, p_value: float, *, higher_is_better: bool = True) -> str:
    """What the test allows to say."""
    if not p_value < LEVEL:
        return "no difference seen"
    return "better" if (mean > 0) is higher_is_better else "worse"


def compared(
    first: pd.Series, second: pd.Series, *, higher_is_better: bool = True
) -> tuple[str, str, str]:
    """Mean paired difference with its interval, the p-value, and what the test allows to say."""
    gap, p_value = difference(first, second)
    said = verdict(float((first - second).mean()), p_value, higher_is_better=higher_is_better)
    return gap, f"{p_value:.2g}", said


def counts(chains: pd.Series) -> str:
    """`cnn-lstm 8, cnn-mlp 2`."""
    return ", ".join(f"{name} {count}" for name, count in Counter(chains).most_common())


def rows_of(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
