"""The layouts of converted events, `htautau` and `fakes`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msnas.convert import fakes, selection
from msnas.convert.delphes import DelphesFile, Event, EventWithTruth
from msnas.convert.selection import Drop, Example
from msnas.convert.writer import LAYOUTS, LAYOUTS_WITH_FAKES, Layout


@dataclass(frozen=True, kw_only=True)
class EventLayout:
    """Data sets, how a ROOT file is opened, and how an event is selected, in code and words."""

    data_sets: Mapping[str, Layout]
    drops: tuple[Drop, ...]
    open: Callable[[Path], DelphesFile[Any]]
    make: Callable[[Any, str], Example | Drop]
    selection: str
    matching: str


def layout_of(name: str) -> EventLayout:
    """The layout `htautau` or `fakes`."""
    if name == "htautau":
        return EventLayout(
            data_sets=LAYOUTS,
            drops=selection.DROPS,
            open=lambda path: DelphesFile(path=path, kind=Event),
            make=lambda event, key: selection.make_example(event, label=int(key == "signal")),
            selection="both taus hadronic; visible tau pT > 20 GeV, |eta| < 2.3; of more than "
            "two, those of highest visible pT",
            matching="each visible tau to the nearest jet within dR < 0.4, two distinct jets",
        )
    return EventLayout(
        data_sets=LAYOUTS_WITH_FAKES,
        drops=fakes.DROPS,
        open=lambda path: DelphesFile(path=path, kind=EventWithTruth),
        make=lambda event, key: fakes.make_example(event, process=key),
        selection="hadronic taus of visible pT > 20 GeV, |eta| < 2.3: two of higgs and z, one of "
        "w, none of qcd; jets of pT > 20 GeV, |eta| < 2.3",
        matching="each visible tau to the nearest jet within dR < 0.4, distinct jets; then the "
        "leading other jets that are the nearest to a generated jet (pT > 15 GeV, dR < 0.4, not "
        "one of a tau)",
    )
