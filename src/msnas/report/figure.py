"""What a figure of the report is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

if TYPE_CHECKING:
    import plotly.graph_objects
    from matplotlib.figure import Figure as Drawing

    from msnas.report.scan import Scan

Data = TypeVar("Data")


class NothingToDraw(Exception):  # noqa: N818 - no error
    """The runs hold nothing this figure shows; the message says what is missing."""


class Figure(ABC, Generic[Data]):
    """One figure, on paper and on the page, from the same data."""

    name: ClassVar[str]
    """Of its files, such as `fig3_against_v1`; figures are shown in the order of their names."""

    title: ClassVar[str]
    """A few words, as the heading on the page."""

    caption: ClassVar[str]
    """What is shown and how to read it, with the source it follows."""

    @abstractmethod
    def data(self, scan: Scan) -> Data:
        """What is to be shown, from the runs; raise NothingToDraw if there is nothing."""

    @abstractmethod
    def draw(self, data: Data) -> Drawing:
        """The figure on paper (PNG and PDF), in the style of the field (mplhep)."""

    @abstractmethod
    def interactive(self, data: Data) -> plotly.graph_objects.Figure:
        """The same for the page; a point's `customdata` holds the key of its run."""
