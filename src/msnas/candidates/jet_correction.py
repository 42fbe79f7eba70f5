"""A correction of a jet's momentum by a network of the momentum and of features of the jet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from jaxtyping import Float
from torch import Tensor, nn

from msnas.candidates.candidate import Candidate
from msnas.candidates.residual_mlp import ResidualMLP


@final
class JetCorrection(Candidate):
    """Adds the output of a `ResidualMLP` of all inputs to the jet's (log(0.1 + pT), eta, phi).

    A candidate of `jet_calibration`, where the other input is shared `features` [event, value].
    """

    def __init__(
        self,
        *,
        input_size: int,
        width: int,
        blocks: int,
        depth: int,
        dropout: float,
        activation: str,
    ) -> None:
        super().__init__()
        self.network = ResidualMLP(
            input_size=input_size,
            width=width,
            blocks=blocks,
            depth=depth,
            dropout=dropout,
            activation=activation,
            output_shape=[3],
        )

    def film_sites(self) -> list[nn.Module]:
        """The modules of the network whose inputs FiLM modulates."""
        return self.network.film_sites()

    def forward(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "event 3"]:
        """Encoded momentum of every event from its inputs, among them `jet` [event, 4]."""
        correction: Tensor = self.network(inputs)
        return inputs["jet"][:, :3] + correction
