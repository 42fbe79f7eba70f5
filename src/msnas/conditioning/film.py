"""Feature-wise linear modulation of any candidate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from msnas.candidates.mlp import ACTIVATIONS, dense
from msnas.errors import ConfigError

CONDITION = "condition"
"""Name of a batch's tensor [event, parameter] of coordinates in [-1, 1] that the networks see."""

IMAGES = 4
"""Axes of a batch of feature maps: maps are not modulated, only the features they end in."""

RECURRENT = (nn.LSTM, nn.GRU, nn.RNN)


@final
class Conditioned(nn.Module):
    """A candidate whose features a small network scales and shifts, depending on a condition.

    FiLM (Perez et al., arXiv:1709.07871), as used for loss-conditional training (Dosovitskiy &
    Djolonga, ICLR 2020): x -> (1 + gamma) x + beta per channel. Its sites are the inputs of the
    modules that the candidate names in `film_sites()`; without that method, of all activation
    layers after the convolutions, and the outputs of recurrent layers; and where there is neither,
    as in a linear calibration, the output itself. gamma = beta = 0 at the start: a conditioned
    network then computes the same as the candidate.

    `example` runs the candidate once on a few events, to learn the widths of the sites; `inputs`
    is the number of parameters conditioned on, `layers` the hidden layers.
    """

    def __init__(
        self,
        candidate: nn.Module,
        example: Callable[[nn.Module], Tensor],
        *,
        inputs: int,
        layers: Sequence[int],
    ) -> None:
        super().__init__()
        self.candidate = candidate
        self.reads = getattr(candidate, "reads", None)
        self._widths: list[int] = []
        self._pieces: Sequence[Tensor] = ()
        self._next = 0
        named = hasattr(candidate, "film_sites")
        sites: list[nn.Module] = (
            candidate.film_sites()  # type: ignore[operator]
            if named
            else [one for one in candidate.modules() if type(one) in ACTIVATIONS.values()]
        )
        for module in sites:
            module.register_forward_pre_hook(self._before)
        for module in () if named else candidate.modules():
            if isinstance(module, RECURRENT):
                if not module.batch_first:
                    raise ConfigError("conditioning: a recurrent layer needs batch_first=True")
                module.register_forward_hook(self._after)
        with torch.no_grad():
            output = example(candidate)
        self.on_output = not self._widths
        if self.on_output:
            self._modulate(output)
        width = sum(self._widths)
        self.film = dense([inputs, *layers, 2 * width], activation="gelu")
        last = self.film[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        with torch.no_grad():
            last.bias.copy_(torch.cat((torch.ones(width), torch.zeros(width))))

    def forward(
        self, inputs: Mapping[str, Tensor], condition: Float[Tensor, "event parameter"]
    ) -> Tensor:
        """Output of the candidate; every event has its own condition, coordinates in [-1, 1]."""
        self._pieces = self.film(condition).split(self._widths * 2, dim=1)
        self._next = 0
        try:
            output: Tensor = self.candidate(inputs)
            return self._modulate(output) if self.on_output else output
        finally:
            self._pieces = ()

    def _before(self, module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if arguments[0].dim() == IMAGES:
            return None
        return (self._modulate(arguments[0]), *arguments[1:])

    def _after(self, module: nn.Module, arguments: Any, output: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._modulate(output[0]), *output[1:])

    def _modulate(self, values: Tensor) -> Tensor:
        """Scale and shift at the next site; while the widths are being learnt, note the width."""
        if not self._pieces:
            self._widths.append(values.shape[-1] if values.dim() > 1 else 1)
            return values
        scale, shift = (
            self._pieces[index] for index in (self._next, self._next + len(self._widths))
        )
        self._next += 1
        # an event's objects are on axes of their own or flattened into the first axis
        width = self._widths[self._next - 1]
        grouped = values.view(len(scale), -1, width)
        return torch.addcmul(shift.unsqueeze(1), grouped, scale.unsqueeze(1)).view(values.shape)
