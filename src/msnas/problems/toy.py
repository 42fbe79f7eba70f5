"""A synthetic two-task chain whose best chain is known, for tests of the search methods."""

from __future__ import annotations

from collections.abc import Collection
from typing import final

import numpy as np

from msnas.data.source import Source

HALF_WIDTH = 3.0**0.5
"""Half the width of the uniform distribution of unit variance."""


@final
class Toy(Source):
    """Events of the chain x -> z -> label, for `toy_regression` and `toy_classification`.

    With u and w uniform on +-sqrt(3) (unit variance), n1 and n2 standard normal:

    * x = (u, w);
    * label = 1 with probability sigmoid(`label_u` u + `label_w` w), so for half of the events;
    * z1 = u + `bend` sqrt(2) cos(pi u / sqrt(3)) + `noise` n1;
    * z2 = `side` (w + `blur` n2), small, but most of what x tells about the label;
    * z3 = `echo` c m, with a fair coin c = +-1 and m = the label, flipped with probability `flip`.

    Task 1, z from x, squared error summed over z. Nothing in x foretells the coin: the best z3 is
    0, at a cost of echo^2 / 2. With the noise this is the floor of every candidate,
    F = noise^2 + (side blur)^2 + echo^2 / 2.

    * `curve`, a network of u alone: F + side^2. The best in pre-training, but it loses w.
    * `plane`, linear in (u, w): F + bend^2. A little worse, as bend > side, but it passes w on.
    * `line`, linear in u + w alone: F + bend^2 + (1 + side^2) / 2, and it mixes u into w.

    Task 2, label from z, binary cross entropy; H(p) is the entropy of a coin of probability p.

    * `trigger` sees only whether |z3| exceeds a threshold: H(flip). The best in pre-training, but
      a predicted z3 is near 0, below the threshold and without a gradient: ln 2 in every chain.
    * `logistic`, linear in z: hindered by the blur in pre-training; after `plane`, which removes
      the blur, it has the label's true probability, so the lowest loss of any function of x.
    * `cautious`, linear in z with a limited logit: as `logistic`, but never sure.

    So pre-training points to (`curve`, `trigger`), and the best chain is (`plane`, `logistic`) up
    to a `task_weight` of about 0.8, from where `plane`'s bend costs more than `curve`'s lost w.
    For the default values and equal task weights its loss is 12 % below that of the best other
    chain, (`plane`, `cautious`) with a limit of 1.5.

    Args:
        events: Number of events.
        seed: Seed of the generator.
        bend: Standard deviation of the part of z1 that is a function of u but not linear.
        noise: Standard deviation of the noise in z1.
        side: Standard deviation of the part of z2 that is a function of x.
        blur: Standard deviation of the noise in z2, in units of `side`.
        echo: Size of z3 where it is not 0.
        flip: Probability that z3 tells the wrong label.
        label_u: Weight of u in the label's log-odds.
        label_w: Weight of w in the label's log-odds.

    """

    def __init__(
        self,
        *,
        events: int,
        seed: int,
        bend: float = 0.45,
        noise: float = 0.2,
        side: float = 0.3,
        blur: float = 1.0,
        echo: float = 0.5,
        flip: float = 0.05,
        label_u: float = 1.0,
        label_w: float = 4.0,
    ) -> None:
        self.events = events
        self.seed = seed
        self.bend = bend
        self.noise = noise
        self.side = side
        self.blur = blur
        self.echo = echo
        self.flip = flip
        self.label_u = label_u
        self.label_w = label_w

    def load(self, names: Collection[str]) -> dict[str, np.ndarray]:
        """Draw `x`, float32 [event, 2]; `z`, float32 [event, 3]; `label`, uint8 [event]."""
        generator = np.random.default_rng(self.seed)
        u, w = generator.uniform(-HALF_WIDTH, HALF_WIDTH, size=(2, self.events))
        log_odds = self.label_u * u + self.label_w * w
        label = generator.random(self.events) < 1 / (1 + np.exp(-log_odds))
        told = label ^ (generator.random(self.events) < self.flip)
        coin = generator.choice([-1.0, 1.0], size=self.events)
        n1, n2 = generator.standard_normal((2, self.events))
        bend = self.bend * 2**0.5 * np.cos(np.pi * u / HALF_WIDTH)
        z1 = u + bend + self.noise * n1
        z2 = self.side * (w + self.blur * n2)
        z3 = self.echo * coin * told
        return {
            "x": np.stack([u, w], axis=1).astype(np.float32),
            "z": np.stack([z1, z2, z3], axis=1).astype(np.float32),
            "label": label.astype(np.uint8),
        }

    def identity(self) -> dict[str, object]:
        """Return the class name and every argument of the constructor."""
        return {"class": type(self).__name__, **self.arguments()}
