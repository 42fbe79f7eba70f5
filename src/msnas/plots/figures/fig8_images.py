"""Data: jet images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from msnas.convert.image import HALF_WIDTH, PIXELS
from msnas.data.checks import finite
from msnas.data.hdf5 import read_hdf5
from msnas.errors import DataError
from msnas.plots.grammar import Axis, Chart, Image, NothingToDraw, Panel
from msnas.results.result import Result
from msnas.results.runs import Runs

PIXEL_IMAGE = "msnas.data.fields.LogPixels"
CHANNELS = ("tracks", "EM calorimeter", "hadronic calorimeter")
AT_ONCE = 1000
"""Events processed at a time, to need little memory beside the images."""

DECADES = 4
"""The colour scale reaches this far below the largest pixel."""


def chart(runs: Runs) -> Chart:
    """Mean over all jets of the data file, and the first jet with something in every channel.

    Transverse momentum of tracks, transverse energy in the calorimeters, in bins of 0.05 around the
    jet axis. White is nothing (in the mean: less than 1/10,000 of the largest pixel). After Fig. 8
    of the paper.
    """
    found = Counter(one for run in runs.finished if (one := images_of(run)) is not None)
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
    mean, (event, jet), single, count = summary(images, where=f"{file}: {field}")
    others = sorted({one for one, _ in found} - {file})
    rows = {"mean of all": mean, f"event {event}, jet {jet}": single}
    return Chart(
        title=f"{Path(file).name}: n = {count:,} images",
        panels=[panel for name, image in rows.items() for panel in _panels(name, image)],
        columns=len(mean),
        size=(3.1, 2.9),
        page_columns=len(mean),
        notes=[f"Not shown: {', '.join(others)}."] if others else [],
    )


def _panels(name: str, images: np.ndarray) -> Iterator[Panel]:
    """A panel for each channel of images [channel, eta, phi]; the last has the colour bar."""
    step = 2 * HALF_WIDTH / PIXELS
    middles = np.linspace(step / 2 - HALF_WIDTH, HALF_WIDTH - step / 2, PIXELS).round(9)
    x, y = (
        Axis(label=label, limits=(-HALF_WIDTH, HALF_WIDTH))
        for label in (r"$\Delta\eta$", r"$\Delta\phi$")
    )
    for number, image in enumerate(images):
        channel = CHANNELS[number] if len(images) == len(CHANNELS) else f"channel {number}"
        eta, phi = (one.ravel() for one in np.meshgrid(middles, middles, indexing="ij"))
        rows = pd.DataFrame({"x": eta, "y": phi, "value": image.ravel()})
        scale, last = scale_of(images), number == len(images) - 1
        layer = Image(rows=rows, scale=scale, unit="GeV per pixel", bar=last)
        yield Panel(x=x, y=y, layers=[layer], title=f"{channel}, {name}")


def images_of(run: Result) -> tuple[str, str] | None:
    """The data file and the field of the images, if the run has both."""
    data = run.config["data"]
    for name, field in data.get("fields", {}).items():
        if field.get("_target_") == PIXEL_IMAGE and "file" in data:
            return str(data["file"]), str(name)
    return None


def summary(
    images: np.ndarray, *, where: str
) -> tuple[np.ndarray, tuple[int, int], np.ndarray, int]:
    """Mean image; event and jet of the image with most filled channels; that image; image count.

    Both images are [channel, eta, phi]. Raises NothingToDraw for other shapes or bad pixels.
    """
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


def scale_of(images: np.ndarray) -> tuple[float, float]:
    """Ends of the colour scale for a row of images: powers of ten [GeV]."""
    high = float(images.max()) or 1.0
    lowest = max(float(images[images > 0].min(initial=high)), high / 10**DECADES)
    low = np.floor(np.log10(lowest))
    return float(10**low), float(10 ** max(np.ceil(np.log10(high)), low + 1))
