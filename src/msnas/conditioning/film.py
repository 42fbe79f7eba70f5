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
"""Name of a batch's tensor [event, parameter] that the networks see, coordinates in [-1, 1]."""

RECURRENT = (nn.LSTM, nn.GRU, nn.RNN)


@final
class Conditioned(nn.Module):
    """A candidate whose features a small network scales and shifts, depending on a condition.

    FiLM (Perez et al., arXiv:1709.07871), as used for loss-conditional training (Dosovitskiy &
    Djolonga, ICLR 2020): x -> (1 + gamma) x + beta per channel. Its sites are the inputs of the
    modules that the candidate names in `film_sites()`; without that method, of all activation
    layers and the outputs of all recurrent ones; and where there is neither, as in a linear
    calibration, the output itself. gamma = beta = 0 at the start: a conditioned network then is
    the unconditioned one.

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
        self._widths: list[int] = []
        self._pieces: list[tuple[Tensor, Tensor]] | None = None
        self._next = 0
        sites: list[nn.Module] = (
            candidate.film_sites()  # type: ignore[operator]
            if hasattr(candidate, "film_sites")
            else [module for module in candidate.modules() if type(module) in ACTIVATIONS.values()]
        )
        for module in sites:
            module.register_forward_pre_hook(self._before)
        if not hasattr(candidate, "film_sites"):
            for module in candidate.modules():
                if isinstance(module, RECURRENT):
                    if not module.batch_first:
                        raise ConfigError(
                            "conditioning: a recurrent layer needs batch_first=True"
                        )
                    module.register_forward_hook(self._after)
        with torch.no_grad():
            output = example(candidate)
        self.on_output = not self._widths
        if self.on_output:
            self._modulate(output)
        self.film = dense([inputs, *layers, 2 * sum(self._widths)], activation="gelu")
        last = self.film[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(
        self, inputs: Mapping[str, Tensor], condition: Float[Tensor, "event parameter"]
    ) -> Tensor:
        """Output of the candidate under a condition, coordinates in [-1, 1], of every event."""
        modulation = self.film(condition).split([2 * width for width in self._widths], dim=1)
        self._pieces = [(1 + both.chunk(2, 1)[0], both.chunk(2, 1)[1]) for both in modulation]
        self._next = 0
        try:
            output: Tensor = self.candidate(inputs)
            return self._modulate(output) if self.on_output else output
        finally:
            self._pieces = None

    def _before(self, module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._modulate(arguments[0]), *arguments[1:])

    def _after(self, module: nn.Module, arguments: Any, output: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._modulate(output[0]), *output[1:])

    def _modulate(self, values: Tensor) -> Tensor:
        """Scale and shift at the next site; while the widths are being learnt, note the width."""
        axis = 1 if values.dim() == 4 else values.dim() - 1
        if self._pieces is None:
            self._widths.append(values.shape[axis] if values.dim() > 1 else 1)
            return values
        scale, shift = self._pieces[self._next]
        self._next += 1
        if values.dim() == 1:
            return torch.addcmul(shift.squeeze(1), values, scale.squeeze(1))
        times = len(values) // len(scale)
        if times > 1:  # several objects of an event, flattened into one axis
            scale, shift = (one.repeat_interleave(times, 0) for one in (scale, shift))
        shape = [len(values), *[1] * (values.dim() - 1)]
        shape[axis] = values.shape[axis]
        return torch.addcmul(shift.view(shape), values, scale.view(shape))
