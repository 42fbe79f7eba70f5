"""Frames: each event is transformed by a symmetry, and a chain's outputs are transformed back.

Imports no PyTorch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import final

import numpy as np

from msnas.errors import DataError
from msnas.part import Part

TURN = "turn of the event"
"""Name of the batch's tensor [event, 3]: phi that became 0, sign of phi, sign of eta."""

OUTPUT_OF = " (output of "
"""Joins the names of a field and of the task whose output replaces that field in a batch."""


class Frame(Part, ABC):
    """An exact symmetry of detector and physics, used to make events more alike."""

    @abstractmethod
    def turn(
        self, raw: Mapping[str, np.ndarray], *, where: str
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The raw arrays in the frame, and the transformation of each event [event, 3] (see TURN).

        `where` names the events in errors.
        """


@final
class Canonical(Frame):
    """A frame with the first jet at phi = 0 and eta >= 0, and the second jet at phi from 0 to pi.

    Rotations about the beam and reflections of phi or eta are symmetries of collisions at a hadron
    collider and of its detector. The array `jets` [event, jet, 4] defines the frame; `momenta` are
    arrays of (pT, eta, phi, ...), which are rotated and mirrored; `images` are arrays
    [..., eta, phi] around a jet, which are only mirrored.
    """

    def __init__(self, *, jets: str, momenta: Sequence[str], images: Sequence[str]) -> None:
        self.jets = jets
        self.momenta = tuple(momenta)
        self.images = tuple(images)

    def turn(
        self, raw: Mapping[str, np.ndarray], *, where: str
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Rotate each event by the first jet's phi, then mirror."""
        if self.jets not in raw or raw[self.jets].ndim != 3 or raw[self.jets].shape[1] < 2:
            raise DataError(f"{where}: data.frame.jets: {self.jets!r} is no array [event, jet, 4]")
        jets = raw[self.jets].astype(np.float64)
        first = jets[:, 0, 2]
        sign_phi = np.where(_wrap(jets[:, 1, 2] - first) < 0, -1.0, 1.0)
        sign_eta = np.where(jets[:, 0, 1] < 0, -1.0, 1.0)
        turned = dict(raw)
        for name in self.momenta:
            if name in raw:
                turned[name] = _turned(raw[name], first, sign_phi, sign_eta)
        for name in self.images:
            if name in raw:
                turned[name] = _mirrored(raw[name], sign_phi, sign_eta)
        return turned, np.stack([first, sign_phi, sign_eta], 1)


def _wrap(phi: np.ndarray) -> np.ndarray:
    wrapped: np.ndarray = np.remainder(phi + np.pi, 2 * np.pi) - np.pi
    return wrapped


def _turned(
    momenta: np.ndarray, first: np.ndarray, sign_phi: np.ndarray, sign_eta: np.ndarray
) -> np.ndarray:
    shape = (-1, *[1] * (momenta.ndim - 2))
    turned = momenta.astype(np.float64)
    turned[..., 1] *= sign_eta.reshape(shape)
    turned[..., 2] = _wrap(turned[..., 2] - first.reshape(shape)) * sign_phi.reshape(shape)
    return turned.astype(momenta.dtype)


def _mirrored(images: np.ndarray, sign_phi: np.ndarray, sign_eta: np.ndarray) -> np.ndarray:
    mirrored = images.copy()
    mirrored[sign_eta < 0] = np.flip(mirrored[sign_eta < 0], -2)
    mirrored[sign_phi < 0] = np.flip(mirrored[sign_phi < 0], -1)
    return mirrored
