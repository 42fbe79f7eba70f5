"""Whether two handwritten digits sum to ten or more: images that come with scikit-learn."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import final

import numpy as np

from msnas.data.source import PARTS, Source
from msnas.errors import ConfigError, DataError

WHITE = 16.0
"""The largest value of a pixel."""


@final
class DigitSum(Source):
    """Pairs of digit images, for the chain of `digit_recognition` and `digit_sum`.

    scikit-learn's copy of the UCI "Optical recognition of handwritten digits" (E. Alpaydin and
    C. Kaynak, 1998): 1,797 images of 8 x 8 pixels, 174 to 183 of each digit.

    The images themselves are split first, with equal shares of every digit, and the images of a
    part paired at random with each other. So no image is in two parts: an image that a network has
    memorised in training is in no test pair.

    Args:
        pairs: Number of pairs in all parts.
        seed: Seed of the generator of the split and of the pairs.
        fractions: Shares of the images, and of the pairs, of `train`, `valid` and `test`.

    """

    def __init__(self, *, pairs: int, seed: int, fractions: Mapping[str, float]) -> None:
        if set(fractions) != set(PARTS) or min(fractions.values()) <= 0:
            raise ConfigError(f"data.fractions: expected {list(PARTS)}, all > 0, found {fractions}")
        self.pairs = pairs
        self.seed = seed
        self.fractions = dict(fractions)

    def load(self, names: Collection[str]) -> dict[str, np.ndarray]:
        """Draw the pairs.

        `images`, float32 [event, 2, 8, 8], from 0 to 1; `digits`, uint8 [event, 2]; `label`,
        uint8 [event], 1 if they sum to 10 or more; `part`, uint8 [event].
        """
        from sklearn.datasets import load_digits  # takes a second, so only where it is needed

        digits = load_digits()
        chosen, part = self.draw(digits.target)
        return {
            "images": (digits.images[chosen] / WHITE).astype(np.float32),
            "digits": digits.target[chosen].astype(np.uint8),
            "label": (digits.target[chosen].sum(1) >= 10).astype(np.uint8),
            "part": part,
        }

    def draw(self, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the images in each pair [event, 2], and the pairs' parts [event].

        `target` [image] holds the images' digits.
        """
        generator = np.random.default_rng(self.seed)
        members = [generator.permutation(np.flatnonzero(target == digit)) for digit in range(10)]
        total = sum(self.fractions.values())
        pairs, parts, start = [], [], 0.0
        for number, name in enumerate(PARTS):
            end = start + self.fractions[name] / total
            images = np.concatenate(
                [one[round(start * len(one)) : round(end * len(one))] for one in members]
            )
            count = round(end * self.pairs) - round(start * self.pairs)
            if not len(images) or not count:
                raise DataError(
                    f"digit_sum: {len(images)} images and {count} pairs for {name}, expected "
                    "at least one of each; raise data.source.pairs or its share in data.fractions"
                )
            pairs.append(generator.choice(images, size=(count, 2)))
            parts.append(np.full(count, number, dtype=np.uint8))
            start = end
        return np.concatenate(pairs), np.concatenate(parts)

    def identity(self) -> dict[str, object]:
        """Return the class name and every argument of the constructor."""
        return {"class": type(self).__name__, **self.arguments()}
