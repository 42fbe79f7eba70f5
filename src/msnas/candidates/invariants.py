"""Classifier of a pair of taus by kinematic variables of the pair, such as its invariant mass."""

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
"""log(0.1 + pT/GeV) of a tau with pT of 45 GeV, subtracted to centre the features."""


def pair_features(encoded: Float[Tensor, "event 2 3"]) -> Float[Tensor, "event 8"]:
    """Eight features of order 1 of a pair of taus, given as (log(0.1 + pT/GeV), eta, phi).

    log pT and eta of both taus; pi - |delta phi|; delta eta; log of the pair's mass and log of its
    pT. They do not change if the event is rotated or mirrored in phi.
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

    The first input is the taus; `beside` is the number of values per event of all other inputs.
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
