"""The images the first task reads: their mean and one of them (paper, Fig. 8)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure as Drawing
from plotly.subplots import make_subplots

from msnas.convert.image import HALF_WIDTH, PIXELS
from msnas.data.checks import finite
from msnas.data.hdf5 import read_hdf5
from msnas.errors import DataError
from msnas.report.chosen import page_layout, write_notes
from msnas.report.collect import FinishedRun
from msnas.report.figure import Figure, NothingToDraw
from msnas.report.scan import Scan
from msnas.report.style import new_figure, style

PIXEL_IMAGE = "msnas.data.fields.LogPixels"
CHANNELS = ("tracks", "EM calorimeter", "hadronic calorimeter")
AT_ONCE = 1000
"""Events looked at together, to need little memory beside the images."""

DECADES = 4
"""The colour scale reaches this far below the largest pixel."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """Transverse momentum or energy [GeV] per pixel, each [channel, eta bin, phi bin]."""

    title: str
    mean: Float[np.ndarray, "channel eta phi"]
    single: Float[np.ndarray, "channel eta phi"]
    single_name: str
    notes: Sequence[str]

    @property
    def rows(self) -> dict[str, Float[np.ndarray, "channel eta phi"]]:
        """Both, by name."""
        return {"mean of all": self.mean, self.single_name: self.single}

    @property
    def channels(self) -> list[str]:
        """Names of the channels."""
        if len(self.mean) == len(CHANNELS):
            return list(CHANNELS)
        return [f"channel {number}" for number in range(len(self.mean))]


@final
class JetImages(Figure[Images]):
    """A row each for the mean and a single image, a column per channel."""

    name: ClassVar[str] = "fig8_images"
    title: ClassVar[str] = "Data: jet images"
    caption: ClassVar[str] = (
        "Mean over all jets of the data file, and the first jet with something in every channel: "
        "transverse momentum of tracks, transverse energy in the calorimeters, in bins of 0.05 "
        "around the jet axis. White is nothing (in the mean: less than 1/10,000 of the largest "
        "pixel). After Fig. 8 of the paper."
    )

    def data(self, scan: Scan) -> Images:
        """Read the images of the data file that most runs have in common."""
        found = Counter(one for run in scan.runs if (one := _images_of(run)) is not None)
        if not found:
            raise NothingToDraw("no run reads images of jets from a data file")
        (file, field), _ = found.most_common(1)[0]
        if not Path(file).is_file():
            raise NothingToDraw(f"{file} is not there (looked in {Path.cwd()})")
        try:
            images = read_hdf5(Path(file), [field], where=file).arrays.get(field)
        except DataError as error:
            raise NothingToDraw(str(error)) from error
        if images is None:
            raise NothingToDraw(f"{file} has no {field}")
        mean, (event, jet), single, count = _summary(images, where=f"{file}: {field}")
        others = sorted({one for one, _ in found} - {file})
        return Images(
            title=f"{Path(file).name}: {count:,} images",
            mean=mean,
            single=single,
            single_name=f"event {event}, jet {jet}",
            notes=[f"Not shown: {', '.join(others)}."] if others else [],
        )

    def draw(self, data: Images) -> Drawing:
        """Pixels in colour, logarithmic."""
        edges = np.linspace(-HALF_WIDTH, HALF_WIDTH, PIXELS + 1)
        with style():
            figure, axes = new_figure(
                2, len(data.channels), panel=(2.9, 2.8), sharex=True, sharey=True
            )
            for row, (name, images) in zip(axes, data.rows.items(), strict=True):
                low, high = _scale(images)
                for axis, channel, image in zip(row, data.channels, images, strict=True):
                    drawn = axis.pcolormesh(
                        edges,
                        edges,
                        np.ma.masked_less(image.T, low),
                        norm=LogNorm(low, high),
                        cmap="viridis",
                        rasterized=True,
                    )
                    axis.set_title(f"{channel}, {name}", fontsize=9)
                    axis.set_aspect("equal")
                figure.colorbar(drawn, ax=row, label="GeV per pixel", pad=0.01)
                row[0].set_ylabel(r"$\Delta\phi$")
            for axis in axes[-1]:
                axis.set_xlabel(r"$\Delta\eta$")
            write_notes(figure, data.title, data.notes)
        return figure

    def interactive(self, data: Images) -> go.Figure:
        """The same; the value of a pixel is told where the pointer is."""
        step = 2 * HALF_WIDTH / PIXELS
        middles = np.round(np.linspace(step / 2 - HALF_WIDTH, HALF_WIDTH - step / 2, PIXELS), 3)
        figure = make_subplots(
            rows=2,
            cols=len(data.channels),
            shared_xaxes=True,
            shared_yaxes=True,
            vertical_spacing=0.1,
            subplot_titles=[
                f"{channel}, {name}" for name in data.rows for channel in data.channels
            ],
        )
        for row, images in enumerate(data.rows.values(), start=1):
            low, high = np.log10(_scale(images))
            ticks = np.arange(np.ceil(low), high + 1e-9)
            figure.update_layout(
                {
                    f"coloraxis{row}": {
                        "colorscale": "Viridis",
                        "cmin": float(low),
                        "cmax": float(high),
                        "colorbar": {
                            "title": {"text": "GeV"},
                            "tickvals": ticks.tolist(),
                            "ticktext": [f"{10**tick:g}" for tick in ticks],
                            "len": 0.45,
                            "y": 0.78 if row == 1 else 0.22,
                        },
                    }
                }
            )
            for column, image in enumerate(images, start=1):
                figure.add_heatmap(
                    x=middles.tolist(),
                    y=middles.tolist(),
                    z=_logarithms(image.T, low),
                    text=[[f"{value:.3g}" for value in line] for line in image.T],
                    coloraxis=f"coloraxis{row}",
                    hovertemplate="Δη %{x}, Δφ %{y}: %{text} GeV<extra></extra>",
                    row=row,
                    col=column,
                )
        figure.update_xaxes(title="Δη", row=2)
        figure.update_yaxes(title="Δφ", col=1)
        figure.update_layout(page_layout(data.title, data.notes, height=620), plot_bgcolor="white")
        return figure


def _images_of(run: FinishedRun) -> tuple[str, str] | None:
    """The data file and the field of the images, if the run has both."""
    data = run.config["data"]
    for name, field in data.get("fields", {}).items():
        if field.get("_target_") == PIXEL_IMAGE and "file" in data:
            return str(data["file"]), str(name)
    return None


def _summary(
    images: np.ndarray, *, where: str
) -> tuple[np.ndarray, tuple[int, int], np.ndarray, int]:
    """Mean image; event and jet of a single one; that image; number of images."""
    if images.ndim not in (4, 5) or images.shape[-2:] != (PIXELS, PIXELS) or not images.size:
        raise NothingToDraw(
            f"{where}: shape {list(images.shape)}, expected [event, jet, channel, "
            f"{PIXELS}, {PIXELS}]"
        )
    jets = images.shape[1] if images.ndim == 5 else 1
    total = np.zeros(images.shape[-3:])
    fullest, single, place = -1, total, 0
    for start in range(0, len(images), AT_ONCE):
        some = images[start : start + AT_ONCE].reshape(-1, *total.shape)
        if not finite(some).all() or (some < 0).any():
            raise NothingToDraw(f"{where}: found pixels that are no numbers from 0 up")
        total = total + some.sum(0, dtype=float)
        filled = (some > 0).any((-2, -1)).sum(-1)
        best = int(filled.argmax())
        if filled[best] > fullest:
            fullest, single, place = int(filled[best]), some[best], start * jets + best
    count = len(images) * jets
    return total / count, divmod(place, jets), single, count


def _scale(images: np.ndarray) -> tuple[float, float]:
    """Ends of the colour scale for a row of images: powers of ten [GeV]."""
    high = float(images.max()) or 1.0
    lowest = max(float(images[images > 0].min(initial=high)), high / 10**DECADES)
    low = np.floor(np.log10(lowest))
    return float(10**low), float(10 ** max(np.ceil(np.log10(high)), low + 1))


def _logarithms(image: np.ndarray, low: float) -> list[list[float | None]]:
    """The logarithms to base 10; None for what is below the scale."""
    with np.errstate(divide="ignore"):
        logarithms = np.log10(image)
    return [
        [round(float(value), 4) if value >= low else None for value in line] for line in logarithms
    ]
