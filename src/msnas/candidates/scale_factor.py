"""Linear calibration of a jet's momentum to the momentum of its tau."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from msnas.candidates.candidate import Candidate


@final
class ScaleFactor(Candidate):
    """a x + b for each of log pT, eta, phi: six parameters, initially the identity.

    Paper, section 4.3 (`Sf`): it uses no image; all jets of an event use the same parameters.
    """

    reads = ("jet",)

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.shift = nn.Parameter(torch.zeros(3))

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "event jet 3"]:
        """Encoded momenta from `jet` [event, jet, 4]."""
        return inputs["jet"][..., :3] * self.scale + self.shift
