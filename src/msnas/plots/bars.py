"""A panel of bars, with a colour for each kind of bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from msnas.plots.grammar import Axis, Bars, Layer, Look, Panel


def bar_panel(
    rows: pd.DataFrame,
    looks: Mapping[str, Look],
    *,
    x: Axis,
    y: Axis,
    title: str,
    upon: Sequence[Layer] = (),
) -> Panel:
    """Bars from `base` to `y` at x, coloured by `kind`, with the layers `upon` drawn over them."""
    bars = [
        Bars(rows=part, look=look, label=kind)
        for kind, look in looks.items()
        if len(part := rows[rows["kind"] == kind])
    ]
    return Panel(x=x, y=y, layers=[*bars, *upon], title=title)
