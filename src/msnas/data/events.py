"""Raw events chosen, split, scaled: the tensors every stage works on."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from msnas.data.augment import Augment
from msnas.data.bounds import check_bounds
from msnas.data.checks import NUMBERS, check_names, finite
from msnas.data.fields import Field
from msnas.data.frames import TURN, Frame
from msnas.data.source import OPTIONAL, PARTS, Source
from msnas.data.thinning import mixture_weights
from msnas.data.thinning import thin as thinned
from msnas.errors import ConfigError, DataError

log = logging.getLogger("msnas")

Fold = tuple[int, int]
"""Which fold, from 0, of how many."""

Batch = dict[str, Tensor]
"""Named tensors with one entry per event; `weight` [event] is an event's weight, if there are."""

OWN_WEIGHT = "weight of the source"
"""Name of a batch's tensor [event]: weights for metrics, without what thinning adds to `weight`."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The way from a source to the parts of the data: which events, their fold, their frame."""

    source: Source
    indices: Mapping[str, np.ndarray]
    fold: Fold | None
    frame: Frame | None
    where: str


@dataclass(frozen=True, kw_only=True)
class Events:
    """The three parts of the data as named tensors in memory, and the fields that encoded them.

    `augment` draws other versions of the training part. `origin` is where all are from.
    """

    train: Batch
    valid: Batch
    test: Batch
    fields: Mapping[str, Field]
    augment: Augment | None = None
    origin: Origin | None = None

    def in_detector(self, events: Batch) -> Batch:
        """Events with their fields in the detector's frame."""
        if TURN not in events:
            return events
        return {
            name: self.fields[name].turn_back(value, events[TURN]) if name in self.fields else value
            for name, value in events.items()
        }

    def raw(self, part: str, also: Collection[str] = ()) -> dict[str, np.ndarray]:
        """One part, [event, ...], as the source has it: the fields, and arrays beside them.

        Raises DataError for an array that the source has not.
        """
        assert self.origin is not None
        source, rows, where = self.origin.source, self.origin.indices[part], self.origin.where
        arrays = source.load([*self.fields, *also])
        check_names(arrays, also, where=where)
        return {name: arrays[name][rows] for name in (*self.fields, *also)}

    def encoded(self, part: str, raw: Mapping[str, np.ndarray]) -> Batch:
        """One part with other `raw` events instead, framed and scaled as ever; weights stay."""
        assert self.origin is not None
        batch: Batch = dict(getattr(self, part))
        if (frame := self.origin.frame) is not None:
            raw, turn = frame.turn(raw, where=self.origin.where)
            batch[TURN] = torch.from_numpy(turn.astype(np.float32))
        return batch | {name: field.encode(raw[name]) for name, field in self.fields.items()}

    def for_use(self) -> Events:
        """The same, with the validation events among those to train with."""
        weighted = any("weight" in part for part in (self.train, self.valid))
        parts = [
            {"weight": torch.ones(len(next(iter(part.values())))), **part} if weighted else part
            for part in (self.train, self.valid)
        ]
        train = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return dataclasses.replace(self, train=train)

    @property
    def size(self) -> int:
        """Events in all parts."""
        return sum(len(next(iter(part.values()))) for part in (self.train, self.valid, self.test))

    def class_counts(self, field: str | None) -> dict[str, dict[str, int]]:
        """Events of each part by their class in `field`; several classes are joined by spaces.

        Without a field, all are counted together, as `all`.
        """
        if field is None:
            sizes = {name: len(next(iter(getattr(self, name).values()))) for name in PARTS}
            return {name: {"all": size} for name, size in sizes.items()}
        counts: dict[str, dict[str, int]] = {}
        for name in PARTS:
            value = getattr(self, name)[field]
            rows, numbers = torch.unique(value.view(len(value), -1), dim=0, return_counts=True)
            counts[name] = {
                " ".join(map(str, row)): number
                for row, number in zip(rows.tolist(), numbers.tolist(), strict=True)
            }
        return counts


def load_events(
    source: Source,
    fields: Mapping[str, Field],
    *,
    events: int | str,
    split_seed: int,
    fractions: Mapping[str, float],
    stratify: str | None,
    where: str,
    thin: Mapping[str, Any] | None = None,
    frame: Frame | None = None,
    augment: Augment | None = None,
    fold: Fold | None = None,
) -> Events:
    """Load, check, choose, split, thin and encode events.

    `events` in total, the same number of each class of the field `stratify`, or "all"; without
    such a field all events are of one class. Which
    ones, and the split into `fractions` of train, valid and test (equal for every class), is
    drawn from `split_seed` alone. Where the source gives the split itself, as an array `part`
    (see `Source.load`), each class keeps its own shares of the parts, and `fractions` and
    `split_seed` move no event from one part to another. A `fold` takes the place of `fractions`
    (see `split_indices`). `thin` (see `thinning.thin`) drops events
    of one class of `stratify` from the training part; validation and test events stay, and get
    weights that give their losses the training part's mixture. `frame` turns every event; by what
    is told as TURN. Scales are fitted on the training part. `where` names the data in errors.

    Raises DataError for data that do not fit `fields`, ConfigError for values out of range.
    """
    raw = source.load(list(fields))
    check_events(raw, fields, where=where)
    turn = None
    if frame is not None:
        raw, turn = frame.turn(raw, where=where)
    if set(fractions) != set(PARTS) or min(fractions.values()) <= 0:
        raise ConfigError(f"data.fractions: expected {list(PARTS)}, all > 0, found {fractions}")
    raw_label = np.zeros(len(next(iter(raw.values()))), int) if stratify is None else raw[stratify]
    if (odd := raw_label[raw_label % 1 != 0]).size:
        raise DataError(
            f"{where}: data.stratify: {stratify!r} holds numbers such as {odd[0]:g}, expected "
            "classes; stratify=null splits the events as they are"
        )
    indices = split_indices(
        raw_label,
        events=events,
        generator=np.random.default_rng(split_seed),
        fractions=[fractions[part] / sum(fractions.values()) for part in PARTS],
        where=where,
        part=raw.get("part"),
        fold=fold,
    )
    if thin is not None:
        indices["train"] = thinned(raw_label, indices["train"], thin)
    parts: dict[str, Batch] = {part: {} for part in PARTS}
    for name, field in fields.items():
        values = raw.pop(name)
        field.fit(values[indices["train"]])
        for part in PARTS:
            parts[part][name] = field.encode(values[indices[part]])
    if turn is not None:
        for part in PARTS:
            parts[part][TURN] = torch.from_numpy(turn[indices[part]].astype(np.float32))
    if "weight" in raw:
        weight = raw["weight"].astype(np.float32)
        mean = float(weight[indices["train"]].mean(dtype=np.float64))
        if mean <= 0:
            raise DataError(f"{where}: weight: mean {mean} of the training part, expected > 0")
        for part in PARTS:
            parts[part]["weight"] = torch.from_numpy(weight[indices[part]] / np.float32(mean))
            parts[part][OWN_WEIGHT] = parts[part]["weight"]
    if thin is not None:
        for part in ("valid", "test"):
            weight = mixture_weights(raw_label[indices[part]], raw_label[indices["train"]])
            own = parts[part].get("weight", torch.ones(()))
            parts[part]["weight"] = torch.from_numpy(weight) * own
    loaded = Events(
        **parts,
        fields=fields,
        augment=augment,
        origin=Origin(source=source, indices=indices, fold=fold, frame=frame, where=where),
    )
    counts = loaded.class_counts(stratify)
    log.info(
        "events by %s: %s",
        stratify or "part",
        ", ".join(f"{part} {counts[part]}" for part in PARTS),
    )
    return loaded


def check_events(raw: Mapping[str, np.ndarray], fields: Mapping[str, Field], *, where: str) -> None:
    """Raise DataError, naming data, key, found and expected, unless `raw` fits `fields`."""
    check_names(raw, list(fields), where=where)
    for name, field in fields.items():
        field.check(name, raw[name], where=where)
        check_bounds(name, raw[name], field, where=where)
    if "weight" in raw:
        _check_weight(raw["weight"], where=where)
    if "part" in raw:
        _check_part(raw["part"], where=where)
    names = [*fields, *(name for name in OPTIONAL if name in raw)]
    lengths = {name: len(raw[name]) for name in names}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{where}: numbers of events differ, expected equal ones: {lengths}")


def _check_weight(weight: np.ndarray, *, where: str) -> None:
    if weight.ndim != 1 or weight.dtype.kind not in NUMBERS or not finite(weight).all():
        raise DataError(f"{where}: weight: expected finite numbers of shape [event]")


def _check_part(part: np.ndarray, *, where: str) -> None:
    expected = f"expected every one of {dict(enumerate(PARTS))}"
    if part.ndim != 1 or part.dtype.kind not in "iu":
        raise DataError(
            f"{where}: part: found type {part.dtype} of shape {list(part.shape)}, "
            "expected whole numbers of shape [event]"
        )
    values = np.unique(part)
    if not np.array_equal(values, range(len(PARTS))):
        raise DataError(f"{where}: part: found {values[:8].tolist()}, {expected}")


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
    (0, 1, 2 for train, valid, test) decides the split instead of `fractions`. So does a `fold`: all
    events are cut into equal folds, the same for every fold; it is the test part, the next one the
    validation part, the others are the training part. Raises DataError for too few events of a
    class, and for a `fold` of a `part` that is given.
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
    """The first `count` of some events, with `part` in proportion to their numbers in the parts."""
    if part is None:
        return one[:count]
    given = _by_part(one, part)
    wanted = _cut(one[:count], [len(piece) / len(one) for piece in given])
    return np.concatenate([piece[: len(cut)] for piece, cut in zip(given, wanted, strict=True)])


def _by_part(one: np.ndarray, part: np.ndarray) -> list[np.ndarray]:
    return [one[part[one] == number] for number in range(len(PARTS))]


def _fold(one: np.ndarray, fold: int, folds: int) -> list[np.ndarray]:
    """Its part to train, to validate and to test with."""
    pieces = np.array_split(one, folds)
    after = (fold + 1) % folds
    train = [piece for number, piece in enumerate(pieces) if number not in (fold, after)]
    return [np.concatenate(train), pieces[after], pieces[fold]]


def _cut(one: np.ndarray, fractions: Sequence[float]) -> list[np.ndarray]:
    """Three consecutive pieces of the given shares."""
    first, second = (round(len(one) * sum(fractions[: n + 1])) for n in range(2))
    return np.split(one, [first, second])
