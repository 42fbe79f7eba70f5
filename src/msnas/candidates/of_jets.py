"""Inputs (beside images) and outputs that all networks of jets have in common."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

JET_NUMBERS = 4
"""Numbers of a jet: log pT, eta, phi, mass."""


def numbers_of(inputs: Mapping[str, Tensor]) -> Float[Tensor, "event jet number"]:
    """The numbers of every jet: `jet` [event, jet, 4] joined with all inputs but images."""
    others = [value for name, value in inputs.items() if name not in ("jet", "image")]
    return torch.cat([inputs["jet"], *others], -1) if others else inputs["jet"]


def answer(
    jet: Float[Tensor, "event jet 4"], found: Float[Tensor, "event jet number"], *, logit: bool
) -> Tensor:
    """A logit [event, jet], or the jet's (log pT, eta, phi) plus a correction [event, jet, 3]."""
    if logit:
        return found.squeeze(-1)
    return jet[..., :3] + (pad(found, (0, 3 - found.shape[-1])) if found.shape[-1] < 3 else found)
