"""Jet images: what tracks and calorimeter cells deposit around a jet axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

PIXELS = 16
"""Bins per axis, eta and phi."""
HALF_WIDTH = 0.4
"""The image spans +-0.4 around the jet axis in eta and in phi."""
PIXEL_WIDTH = 2 * HALF_WIDTH / PIXELS
"""0.05 in eta and in phi."""


@dataclass(frozen=True, kw_only=True)
class Deposits:
    """Deposits of one image channel: eta, phi [rad] and deposited value [GeV], each [n]."""

    eta: NDArray[np.floating[Any]]
    phi: NDArray[np.floating[Any]]
    value: NDArray[np.floating[Any]]


def wrap_phi(phi: ArrayLike) -> NDArray[np.float64]:
    """Bring an angle [rad] into [-pi, pi); same shape.

    >>> wrap_phi([0.5, 6.0]).round(4).tolist()
    [0.5, -0.2832]
    """
    return (np.asarray(phi, dtype=np.float64) + np.pi) % (2 * np.pi) - np.pi


def jet_image(
    *, jet_eta: float, jet_phi: float, channels: Sequence[Deposits]
) -> NDArray[np.float64]:
    """Sum each channel's deposits in 16 x 16 bins of 0.05 around the jet axis.

    Returns the image [channel, eta bin, phi bin] in the unit of the deposits. Bin 0 starts 0.4
    below the axis; a bin includes its lower edge; deposits outside +-0.4 are left out.
    """
    images = np.empty((len(channels), PIXELS, PIXELS))
    for image, deposits in zip(images, channels, strict=True):
        delta_eta = deposits.eta.astype(np.float64) - jet_eta
        delta_phi = wrap_phi(deposits.phi.astype(np.float64) - jet_phi)
        row = np.floor((delta_eta + HALF_WIDTH) / PIXEL_WIDTH)
        column = np.floor((delta_phi + HALF_WIDTH) / PIXEL_WIDTH)
        inside = (row >= 0) & (row < PIXELS) & (column >= 0) & (column < PIXELS)
        pixel = (row[inside] * PIXELS + column[inside]).astype(np.int64)
        total = np.bincount(pixel, weights=deposits.value[inside], minlength=PIXELS * PIXELS)
        image[:] = total.reshape(PIXELS, PIXELS)
    return images
