"""Splits events into training, validation and test events. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from msnas.data.source import PARTS
from msnas.errors import ConfigError, DataError

Fold = tuple[int, int]
"""Index of a fold, from 0, and the number of folds."""


def split_indices(
    label: np.ndarray,
    *,
    events: int | str,
    generator: np.random.Generator,
    fractions: list[float],
    where: str,
    part: np.ndarray | None = None,
    fold: Fold | None = None,
) -> dict[str, np.ndarray]:
    """Indices of the events of train, valid and test, each in random order.

    `label` is [event], or [event, ...] with each distinct row a class of its own. `part` [event]
    (0, 1, 2 for train, valid, test) decides the split instead of `fractions`. So does a `fold`: the
    events are always cut into the same equal folds; the given fold is the test part, the next fold
    the validation part, all other folds the training part. Raises DataError for too few events of a
    class, and if both `fold` and `part` are given.
    """
    if part is not None and fold is not None:
        raise DataError(f"{where}: data.folds: part is given, which already splits the events")
    _, classes = np.unique(label.reshape(len(label), -1), axis=0, return_inverse=True)
    members = [
        generator.permutation(np.flatnonzero(classes == one)) for one in range(classes.max() + 1)
    ]
    if events != "all":
        if isinstance(events, bool) or not isinstance(events, int) or events < 1:
            raise ConfigError(f"data.events: expected a number of events or all, found {events!r}")
        share = events // len(members)
        if (fewest := min(len(one) for one in members)) < share:
            raise DataError(
                f"{where}: data.events={events} needs {share} events of each class, "
                f"found {fewest} of one; at most {fewest * len(members)}, or all"
            )
        members = [_thin(one, share, part) for one in members]
    parts: dict[str, list[np.ndarray]] = {name: [] for name in PARTS}
    for one in members:
        if fold is not None:
            if len(one) < fold[1]:
                raise DataError(
                    f"{where}: data.folds: found {fold[1]} folds for the {len(one)} events of a "
                    "class, expected no more folds than events of each class"
                )
            pieces = _fold(one, *fold)
        else:
            pieces = _cut(one, fractions) if part is None else _by_part(one, part)
        for name, chosen in zip(PARTS, pieces, strict=True):
            if not len(chosen):
                needed = "at least 5" if part is None else "some there"
                raise DataError(
                    f"{where}: too few events: {len(one)} of a class leave none for {name}, "
                    f"expected {needed} of each class"
                )
            parts[name].append(chosen)
    return {name: generator.permutation(np.concatenate(own)) for name, own in parts.items()}


def _thin(one: np.ndarray, count: int, part: np.ndarray | None) -> np.ndarray:
    """The first `count` of the events `one`; with `part`, in proportion to their parts' sizes."""
    if part is None:
        return one[:count]
    given = _by_part(one, part)
    wanted = _cut(one[:count], [len(piece) / len(one) for piece in given])
    return np.concatenate([piece[: len(cut)] for piece, cut in zip(given, wanted, strict=True)])


def _by_part(one: np.ndarray, part: np.ndarray) -> list[np.ndarray]:
    return [one[part[one] == number] for number in range(len(PARTS))]


def _fold(one: np.ndarray, fold: int, folds: int) -> list[np.ndarray]:
    """Training, validation and test events of the given fold, of the events `one`."""
    pieces = np.array_split(one, folds)
    after = (fold + 1) % folds
    train = [piece for number, piece in enumerate(pieces) if number not in (fold, after)]
    return [np.concatenate(train), pieces[after], pieces[fold]]


def _cut(one: np.ndarray, fractions: Sequence[float]) -> list[np.ndarray]:
    """Three consecutive pieces of the given shares."""
    first, second = (round(len(one) * sum(fractions[: n + 1])) for n in range(2))
    return np.split(one, [first, second])
