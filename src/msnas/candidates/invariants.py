"""Classifier of a pair of taus by what they form together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from msnas.candidates.candidate import Candidate
from msnas.candidates.mass import EPSILON, HIGGS_MASS, invariant_mass
from msnas.candidates.mlp import dense
from msnas.momentum import cartesian, wrap_angle

TYPICAL_LOG_PT = 3.8
"""log(0.1 + pT/GeV) of a tau of 45 GeV; typical values centre the features."""


def pair_features(encoded: Float[Tensor, "event 2 3"]) -> Float[Tensor, "event 8"]:
    """What two taus (log(0.1 + pT/GeV), eta, phi) form, about 1 in size.

    log pT and eta of both; |delta phi|, 0 if they are back to back; delta eta; log of the mass and
    of the pair's pT. The same for an event that is turned in phi or mirrored in it.
    """
    log_pt, eta, phi = encoded.unbind(-1)
    mass = invariant_mass(encoded)
    x, y, _ = cartesian(encoded).sum(1).unbind(-1)
    pair_pt = torch.sqrt(x.square() + y.square() + EPSILON)
    return torch.stack(
        (
            2 * (log_pt[:, 0] - TYPICAL_LOG_PT),
            2 * (log_pt[:, 1] - TYPICAL_LOG_PT),
            eta[:, 0],
            eta[:, 1],
            math.pi - wrap_angle(phi[:, 0] - phi[:, 1]).abs(),
            eta[:, 0] - eta[:, 1],
            2 * torch.log(mass / HIGGS_MASS + 0.01),
            torch.log1p(pair_pt) - 3,
        ),
        -1,
    )


@final
class Invariants(Candidate):
    """`pair_features` of two taus through hidden `layers` to a logit, or to an `output_shape`.

    The first input are the taus; others are taken as they are, `beside` numbers in all.
    """

    def __init__(
        self, *, layers: Sequence[int], output_shape: Sequence[int] = (), beside: int = 0
    ) -> None:
        super().__init__()
        self.output_shape = tuple(output_shape)
        self.network = dense([8 + beside, *layers, math.prod(self.output_shape)])

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "event ..."]:
        """Logit, or logits, of every event from encoded momenta [event, 2, 3]."""
        taus, *others = inputs.values()
        features = [pair_features(taus), *(one.flatten(1) for one in others)]
        logit: Tensor = self.network(torch.cat(features, 1))
        return logit.view(-1, *self.output_shape)
