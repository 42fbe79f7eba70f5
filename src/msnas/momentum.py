"""Momenta as the networks see them: (log(0.1 + pT/GeV), eta, phi)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

PT_OFFSET = 0.1
"""[GeV], added to pT before the logarithm (paper, section 4.2)."""

LOG_PT_RANGE = (math.log(PT_OFFSET), 7.0)
ETA_RANGE = (-5.0, 5.0)
"""Encoded momenta are clamped to these ranges before exp and sinh: pT >= 0 and all is finite."""


def encode_pt(pt: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """log(0.1 + pT), from pT [GeV]."""
    return torch.log(PT_OFFSET + pt)


def decode_pt(log_pt: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """PT [GeV] >= 0 of an encoded pT, clamped to a range that float32 and a detector can hold."""
    return (torch.exp(log_pt.clamp(*LOG_PT_RANGE)) - PT_OFFSET).clamp(min=0)


def wrap_angle(phi: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The same angle [rad] in [-pi, pi)."""
    return torch.remainder(phi + math.pi, 2 * math.pi) - math.pi


def turn_back(
    momentum: Float[Tensor, "event ... component"], turn: Float[Tensor, "event 3"]
) -> Float[Tensor, "event ... component"]:
    """Momenta (pT or its logarithm, eta, phi, ...) in the detector's frame; see `data.frames`."""
    first, sign_phi, sign_eta = (
        one.to(momentum).view(-1, *[1] * (momentum.ndim - 2)) for one in turn.unbind(-1)
    )
    eta = momentum[..., 1] * sign_eta
    phi = wrap_angle(momentum[..., 2] * sign_phi + first)
    turned = torch.stack((momentum[..., 0], eta, phi), -1)
    return torch.cat((turned, momentum[..., 3:]), -1)


def cartesian(encoded: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape 3"]:
    """(px, py, pz) [GeV] of encoded momenta (log(0.1 + pT), eta, phi)."""
    log_pt, eta, phi = encoded.unbind(-1)
    pt = decode_pt(log_pt)
    return torch.stack(
        (pt * torch.cos(phi), pt * torch.sin(phi), pt * torch.sinh(eta.clamp(*ETA_RANGE))), -1
    )
