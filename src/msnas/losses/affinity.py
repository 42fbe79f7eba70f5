"""Affinity loss: classes as clusters with a margin between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, final

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from msnas.errors import ConfigError, TrainingError
from msnas.losses.logits import class_count, is_single, sum_of_event
from msnas.losses.loss import Loss
from msnas.losses.parameter import Parameter, beside, check_parameter


@final
class Affinity(Loss):
    """sum_{c != t} max(0, lambda + d_c - d_t) + R, with d_c = max_k exp(-|f - w_ck|^2 / sigma).

    Hayat et al., arXiv:1901.07711. t is the true class, w_ck are `centres` trained positions for
    each class, lambda is `margin`, and R the variance of the squared distances between all pairs
    of positions: it keeps them equally far from one another. The features f are the task's
    output, one number for a single logit and else one per class, so that any classifier can be
    trained in this way; the paper takes those of the last hidden layer. R then leaves room for one
    centre per class: more positions than features + 1 are never equally far, and R pulls them
    together.

    The positions begin at the corners of a regular simplex around the origin with edges of
    sqrt(2 sigma), so R = 0; several positions of a class lie in a row behind one another. In
    pre-training they stay there, and all candidates learn the same clusters.
    """

    varying: ClassVar[tuple[str, ...]] = ("sigma", "margin")
    positions: Float[Tensor, "class centre feature"] | None

    def __init__(self, *, sigma: float, margin: float, centres: int) -> None:
        super().__init__()
        if not isinstance(centres, int) or isinstance(centres, bool) or centres < 1:
            raise ConfigError(f"loss.centres: expected a whole number >= 1, found {centres!r}")
        self.sigma: Parameter = sigma
        self.margin: Parameter = margin
        self.centres = centres
        self.register_parameter("positions", None)
        self.check()

    def check(self) -> None:
        """Raise ConfigError unless sigma is positive and the margin not negative."""
        check_parameter(self.sigma, key="loss.sigma", low_allowed=False)
        check_parameter(self.margin, key="loss.margin")

    def prepare(self, shape: Sequence[int]) -> None:
        """Make the positions for an output of this shape."""
        if self.positions is not None:
            return
        assert not isinstance(self.sigma, Tensor)
        classes = class_count(shape)
        corners = math.sqrt(self.sigma) * (torch.eye(classes) - 1 / classes)
        if not shape:  # the line through both corners
            corners = math.sqrt(2) * corners[:, 1:]
        steps = (torch.arange(self.centres) + 0.5) / self.centres - 0.5
        self.positions = nn.Parameter(corners.unsqueeze(1) * (1 + steps / 2).unsqueeze(-1))

    def forward(
        self, output: Float[Tensor, "event ..."], target: Integer[Tensor, "event ..."]
    ) -> Float[Tensor, " event"]:
        """Loss of every event; R is added once, however many objects an event has."""
        affinities = self._affinities(output, single=is_single(output, target))
        true = target.unsqueeze(-1)
        each = beside(self.margin, affinities) + affinities - affinities.gather(-1, true)
        of_others = each.clamp(min=0).scatter(-1, true, 0.0).sum(-1)
        return sum_of_event(of_others) + self.spread()

    def score(self, output: Float[Tensor, "event ..."]) -> Float[Tensor, "event ..."]:
        """d_1 - d_0 for a single logit, else d_c for each class; from -1 to 1."""
        single = self._positions().shape[-1] == 1
        affinities = self._affinities(output, single=single)
        return affinities[..., 1] - affinities[..., 0] if single else affinities

    def spread(self) -> Float[Tensor, ""]:
        """R, the variance of the squared distances between positions.

        Over pairs of different positions: the zero distance of a position to itself would make R
        push two positions together.
        """
        positions = self._positions().flatten(0, 1)
        first, second = torch.triu_indices(len(positions), len(positions), offset=1)
        squares = (positions[first] - positions[second]).square().sum(-1)
        return squares.var(correction=0)

    def _affinities(
        self, output: Float[Tensor, "event ..."], *, single: bool
    ) -> Float[Tensor, "event ... class"]:
        positions = self._positions()
        features = output.unsqueeze(-1) if single else output
        if features.shape[-1] != positions.shape[-1]:
            raise ValueError(
                f"Affinity was prepared for {positions.shape[-1]} features, "
                f"found {features.shape[-1]}"
            )
        differences = features.unsqueeze(-2).unsqueeze(-2) - positions
        nearest = differences.square().sum(-1).amin(-1)
        return (-nearest / beside(self.sigma, nearest)).exp()

    def _positions(self) -> Float[Tensor, "class centre feature"]:
        if self.positions is None:
            raise TrainingError(
                "Affinity was used before prepare: it needs the shape of the task's output"
            )
        return self.positions
