"""Tau momentum from a jet and the set of filled pixels of its image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from msnas.candidates.candidate import Candidate
from msnas.candidates.mlp import dense
from msnas.candidates.of_jets import JET_NUMBERS, answer, numbers_of


@final
class TauSets(Candidate):
    """A network of each filled pixel is summed over pixels; a second network corrects the jet.

    Deep sets (Zaheer et al., arXiv:1703.06114), as in particle flow networks (Komiske et al.,
    arXiv:1810.05165): about nine of a jet's 768 pixels are filled, and only these are computed. The
    inputs of a pixel are its value, its channel, its position, its distance from the middle of the
    image, and the jet's numbers. All jets of an event use the same weights. Without `directions`
    only log pT is corrected; eta and phi are the jet's. With `logit` the output is a logit per jet
    (tau or not). `beside` is the number of further input values per jet, besides its own four.
    """

    def __init__(
        self,
        *,
        pixel_layers: Sequence[int],
        momentum_layers: Sequence[int],
        activation: str,
        directions: bool = True,
        image_shape: Sequence[int] = (3, 16, 16),
        reads: Sequence[str] | None = None,
        beside: int = 0,
        logit: bool = False,
    ) -> None:
        super().__init__()
        self.reads = reads
        self.logit = logit
        channels, rows, columns = image_shape
        numbers = JET_NUMBERS + beside
        self.pixel_network = dense(
            [1 + channels + 3 + numbers, *pixel_layers], activation=activation
        )
        self.momentum_network = dense(
            [pixel_layers[-1] + numbers, *momentum_layers, 3 if directions and not logit else 1],
            activation=activation,
        )
        row, column = torch.meshgrid(
            torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij"
        )
        place = torch.stack((row, column, torch.hypot(row, column)), -1).flatten(0, 1)
        channel = torch.eye(channels).repeat_interleave(rows * columns, 0)
        about = torch.cat((channel, place.repeat(channels, 1)), 1)
        self.about: Tensor
        self.register_buffer("about", about, persistent=False)

    def film_sites(self) -> list[nn.Module]:
        """Activations after the sum: FiLM has a condition per event, and pixels are not events."""
        return [one for one in self.momentum_network if not isinstance(one, nn.Linear)]

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "event jet ..."]:
        """Momenta or logits from `jet` [event, jet, 4] and `image` [event, jet, 3, 16, 16]."""
        jet = inputs["jet"]
        jets, images = numbers_of(inputs).flatten(0, 1), inputs["image"].flatten(0, 1).flatten(1)
        owner, pixel = images.nonzero(as_tuple=True)
        value = images[owner, pixel].unsqueeze(1)
        features = self.pixel_network(torch.cat((value, self.about[pixel], jets[owner]), 1))
        summed = features.new_zeros(len(jets), features.shape[1]).index_add(0, owner, features)
        found = self.momentum_network(torch.cat((summed, jets), 1))
        return answer(jet, found.view(*jet.shape[:2], -1), logit=self.logit)
