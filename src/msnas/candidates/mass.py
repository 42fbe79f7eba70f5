"""Classifier of a pair of taus by its invariant mass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from msnas.candidates.candidate import Candidate
from msnas.candidates.mlp import dense
from msnas.momentum import cartesian

TAU_MASS = 1.777
"""Mass of a tau lepton [GeV]."""

HIGGS_MASS = 125.0
"""Mass of the Higgs boson [GeV]; masses are divided by it before they enter a network."""

EPSILON = 1e-6
"""[GeV^2], added under each square root to keep its gradient finite at 0."""


def invariant_mass(encoded: Float[Tensor, "event particle 3"]) -> Float[Tensor, " event"]:
    """Invariant mass [GeV] of all taus of an event, given as (log(0.1 + pT/GeV), eta, phi)."""
    momentum = cartesian(encoded)
    energy = torch.sqrt(momentum.square().sum(-1) + TAU_MASS**2 + EPSILON)
    squared = energy.sum(1).square() - momentum.sum(1).square().sum(-1)
    return torch.sqrt(squared.clamp(min=0) + EPSILON)


@final
class DiTauMass(Candidate):
    """A logit from the invariant mass of two taus / 125 GeV; layers 1-64-64-1 (paper, `Mass`)."""

    def __init__(self, *, layers: Sequence[int]) -> None:
        super().__init__()
        self.network = dense([1, *layers, 1])

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, " event"]:
        """Logit of every event from encoded momenta [event, 2, 3]."""
        (taus,) = inputs.values()
        logit: Tensor = self.network(invariant_mass(taus).unsqueeze(-1) / HIGGS_MASS)
        return logit.squeeze(-1)
