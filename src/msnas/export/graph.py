"""What an ONNX file computes: a model's predictions from raw events, all in tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from msnas.build import build
from msnas.conditioning.film import CONDITION
from msnas.conditioning.laws import Law
from msnas.data.events import Batch
from msnas.data.frames import Canonical, Frame
from msnas.errors import ConfigError
from msnas.model import Model
from msnas.momentum import wrap_angle

CELLS, ROUNDS = 1024, 3
"""The search for a coordinate: cells in a round; every next round divides the chosen cell."""


@final
class Graph(nn.Module):
    """`Model.predict` of raw events and values of conditions, float32 tensors by name.

    It computes with the model's own fields, chain and outputs. Raises ConfigError for a frame that
    cannot be exported.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.chain = model.chain.eval()
        self.model = model
        self.frame = None if model.frame is None else _known(model.frame)
        self.bands = nn.ModuleDict(_bands(model))
        self.laws = (
            {one.key: one.law for one in model.conditioning.parameters}
            if model.conditioning is not None
            else {}
        )

    def forward(
        self, raw: Mapping[str, Tensor], conditions: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The outputs of all tasks for raw events [event, ...]; conditions are of shape []."""
        batch, turn = self.batch(raw, conditions)
        outputs = self.chain.run(batch, self.model.path)
        found = self.model.told(outputs, turn)
        if self.bands:
            events = {
                name: value if turn is None else self.model.fields[name].turn_back(value, turn)
                for name, value in batch.items()
                if name in raw
            }
            for task, output in zip(self.chain.tasks, outputs, strict=True):
                if task.name in self.bands:
                    detected = output if turn is None else task.output.turn_back(output, turn)
                    edges, inside = self.bands[task.name](events, detected)
                    found |= {f"{task.name}_band": edges, f"{task.name}_inside": inside}
        return found

    def batch(
        self, raw: Mapping[str, Tensor], conditions: Mapping[str, Tensor]
    ) -> tuple[Batch, Tensor | None]:
        """Events as the chain reads them, and the turn of each event [event, 3], if any."""
        values, turn = dict(raw), None
        if self.frame is not None:
            values, turn = turned(self.frame, values)
        # a field gets a copy, as some fields write into their array
        batch = {
            name: self.model.fields[name].encode(value.clone().numpy())
            for name, value in values.items()
        }
        if self.laws:
            units = [coordinate(law, conditions[key]) for key, law in self.laws.items()]
            events = next(iter(raw.values())).shape[0]
            batch[CONDITION] = torch.stack(units).float().expand(events, len(units))
        return batch, turn


def turned(frame: Canonical, raw: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """`Canonical.turn` for tensors; the tests compare it with the version for arrays."""
    jets = raw[frame.jets].double()
    first = jets[:, 0, 2]
    one = torch.ones_like(first)
    sign_phi = torch.where(wrap_angle(jets[:, 1, 2] - first) < 0, -one, one)
    sign_eta = torch.where(jets[:, 0, 1] < 0, -one, one)

    def per_event(value: Tensor, like: Tensor, axes: int) -> Tensor:
        return value.view(-1, *[1] * (like.dim() - axes))

    found = dict(raw)
    for name in frame.momenta:
        if name in raw:
            momenta = raw[name].double()
            start, phi, eta = (per_event(x, momenta, 2) for x in (first, sign_phi, sign_eta))
            moved = torch.stack(
                (
                    momenta[..., 0],
                    momenta[..., 1] * eta,
                    wrap_angle(momenta[..., 2] - start) * phi,
                ),
                -1,
            )
            found[name] = torch.cat((moved, momenta[..., 3:]), -1).to(raw[name])
    for name in frame.images:
        if name in raw:
            phi, eta = (per_event(x, raw[name], 1) for x in (sign_phi, sign_eta))
            images = torch.where(eta < 0, raw[name].flip(-2), raw[name])
            found[name] = torch.where(phi < 0, images.flip(-1), images)
    return found, torch.stack((first, sign_phi, sign_eta), 1).float()


def _bands(model: Model) -> Mapping[str, nn.Module]:
    """The bands of the run's validity judges, by task."""
    if not model.judges:
        return {}
    # gpytorch takes a second to import
    from msnas.evaluation.validity import Validity
    from msnas.export.band import Band

    found: dict[str, nn.Module] = {}
    for task in model.chain.tasks:
        if task.name in model.judges:
            settings, weights = model.judges[task.name]
            judge = build(settings, key=f"tasks.{task.name}.validity", of=Validity)
            found[task.name] = Band(task, judge, weights)
    return found


def _known(frame: Frame) -> Canonical:
    if not isinstance(frame, Canonical):
        raise ConfigError(
            f"data.frame: {type(frame).__name__} cannot be exported; expected "
            f"{Canonical.__name__} or none"
        )
    return frame


def coordinate(law: Law, value: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """`law.unit(value)` for a tensor, to 1e-8: the coordinate at which a rising law has `value`.

    A law computes values of tensors, but coordinates of numbers only. Values outside the range are
    moved to its nearer end.
    """
    low, high = law.limits()
    start, width = torch.full_like(value, -1, dtype=torch.float64), 2.0
    if low == high:
        return torch.full_like(start, law.unit(low))
    steps = torch.arange(CELLS, dtype=torch.float64) / CELLS
    for _ in range(ROUNDS):
        below = (law.value(start + width * steps) <= value.double()).sum() - 1
        start = start + width * below.clamp(min=0) / CELLS
        width /= CELLS
    return start + width / 2
