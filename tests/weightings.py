"""The weightings of conf/weighting, by what they need."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import yaml
from conftest import CONF

SETTINGS: dict[str, dict[str, Any]] = {
    path.stem: yaml.safe_load(path.read_text())
    for path in sorted((CONF / "weighting").glob("*.yaml"))
}

EXTRAS = {"cagrad": ("cvxpy", "clarabel"), "nash_mtl": ("cvxpy", "ecos")}
"""Packages that come with an extra of torchjd only."""

INSTALLED = [name for name in SETTINGS if all(map(find_spec, EXTRAS.get(name, ())))]

THREE = ("krum", "trimmed_mean")
"""They compare a gradient with at least two others."""

NAMES = [name for name in INSTALLED if name not in THREE]
"""What two tasks can be weighted by, here."""

AGGREGATED = [name for name in NAMES if "aggregator" in SETTINGS[name]]
SCALARIZED = [name for name in NAMES if "scalarizer" in SETTINGS[name]]

UNWEIGHTED = ("config", "graddrop", "trimmed_mean")
"""They do more than weigh gradients, so there are no weights to tell."""


def tasks_for(name: str) -> int:
    """The smallest number of tasks."""
    return 3 if name in THREE else 2
