"""A run's losses of every validation event: its losses.h5 read back. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from msnas.errors import DataError
from msnas.results.outputs import read_own
from msnas.results.records import is_number
from msnas.results.result import Result
from msnas.run_directory import LOSSES as NAME

SAME = 1e-3
"""Relative tolerance: a chain's mean loss must equal its number in result.json up to rounding."""

ChainPath = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Weighted loss of every validation event: of the ranked chains, and of the trained chain.

    `events` identifies the set of events.
    """

    ranked: Mapping[ChainPath, Float[np.ndarray, " event"]]
    selected: Float[np.ndarray, " event"]
    events: str


def read_losses(run: Result) -> Losses:
    """Read a run's losses.h5; raise DataError if it is absent, unreadable or does not fit."""
    content = read_own(run, NAME, ["chain", "loss"], "events")
    places, losses = (content.arrays.get(name, np.zeros(0)) for name in ("chain", "loss"))
    if losses.ndim != 2 or losses.shape[1] < 2 or places.shape != losses.shape[:1]:
        raise DataError(
            f"{NAME}: loss {list(losses.shape)} and chain {list(places.shape)}, expected "
            "[chain, event] of at least two events and [chain]"
        )
    last = len(run.chains) - 1
    known = places.tolist()
    if not set(known) <= set(range(last + 1)) or len(set(known)) < len(known) or last not in known:
        raise DataError(f"{NAME}: chain {known[:10]}, expected places among {last + 1} chains")
    wide = losses.astype(float)
    for place, mean in zip(known, wide.mean(1).tolist(), strict=True):
        chain = run.chains[int(place)]
        stated = chain.get("ranked_by", chain["valid"].get("loss"))
        if not is_number(stated) or not abs(mean - stated) <= SAME * (SAME + abs(stated)):
            raise DataError(
                f"{NAME}: the losses of chain {int(place)} have the mean {mean:.6g}, "
                f"expected {stated!s:.20} as in result.json"
            )
    rows = dict(zip(map(int, known), wide, strict=True))
    return Losses(
        ranked={
            run.path_of(run.chains[place]["selected"]): own
            for place, own in rows.items()
            if place != last
        },
        selected=rows[last],
        events=content.attributes.get("events", "unknown"),
    )
