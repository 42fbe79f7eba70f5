"""Raw events are selected, split and scaled to tensors, on which every stage works."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from msnas.data.augment import Augment
from msnas.data.bounds import check_bounds
from msnas.data.checks import NUMBERS, check_names, finite
from msnas.data.compact import PIECE, Compact, Growing, in_pieces
from msnas.data.fields import Field
from msnas.data.frames import TURN, Frame
from msnas.data.kept import tensor_of
from msnas.data.source import OPTIONAL, PARTS, Source
from msnas.data.split import Fold, split_indices
from msnas.data.thinning import mixture_weights
from msnas.data.thinning import thin as thinned
from msnas.errors import ConfigError, DataError

log = logging.getLogger("msnas")

Batch = dict[str, Tensor]
"""Named tensors with one entry per event; `weight` [event], if there, are the event weights."""

OWN_WEIGHT = "weight of the source"
"""Name of the batch's tensor [event] of weights for metrics: `weight` without those of thinning."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """How the parts of the data were made from a source: indices of events, fold and frame."""

    source: Source
    indices: Mapping[str, np.ndarray]
    fold: Fold | None
    frame: Frame | None
    where: str


@dataclass(frozen=True, kw_only=True)
class Events:
    """The three parts of the data as named tensors in memory, and the fields that encoded them.

    `augment` transforms training events at random. `origin` tells how the parts were made.
    """

    train: Batch
    valid: Batch
    test: Batch
    fields: Mapping[str, Field]
    augment: Augment | None = None
    origin: Origin | None = None

    def in_detector(self, events: Batch) -> Batch:
        """The events with their fields transformed back to the detector's frame."""
        if TURN not in events:
            return events
        return {
            name: self.fields[name].turn_back(value, events[TURN]) if name in self.fields else value
            for name, value in events.items()
        }

    def raw(self, part: str, also: Collection[str] = ()) -> dict[str, np.ndarray]:
        """One part, [event, ...], as raw arrays of the source: the fields, and the arrays `also`.

        Raises DataError for an array that the source does not have.
        """
        assert self.origin is not None
        source, rows, where = self.origin.source, self.origin.indices[part], self.origin.where
        compact = {name for name, field in self.fields.items() if field.compact}
        arrays = source.load_compact([*self.fields, *also], compact=compact, memory="auto")
        check_names(arrays, also, where=where)
        return {name: np.asarray(arrays[name][rows]) for name in (*self.fields, *also)}

    def encoded(self, part: str, raw: Mapping[str, np.ndarray]) -> Batch:
        """One part with other `raw` values of its fields, framed and encoded; weights stay."""
        assert self.origin is not None
        batch: Batch = dict(getattr(self, part))
        if (frame := self.origin.frame) is not None:
            raw, turn = frame.turn(raw, where=self.origin.where)
            batch[TURN] = torch.from_numpy(turn.astype(np.float32))
        return batch | {name: field.encode(raw[name]) for name, field in self.fields.items()}

    def for_use(self) -> Events:
        """These events, with the validation events added to the training part."""
        weighted = any("weight" in part for part in (self.train, self.valid))
        parts = [
            {"weight": torch.ones(len(next(iter(part.values())))), **part} if weighted else part
            for part in (self.train, self.valid)
        ]
        train = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return dataclasses.replace(self, train=train)

    @property
    def size(self) -> int:
        """Number of events in all parts together."""
        return sum(len(next(iter(part.values()))) for part in (self.train, self.valid, self.test))

    def class_counts(self, field: str | None) -> dict[str, dict[str, int]]:
        """Number of events of each part, by class in `field`; several classes joined by spaces.

        Without a field, all events are counted as one class, `all`.
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
    memory: str = "auto",
) -> Events:
    """Load, check, select, split, thin and encode events.

    `events` is the total number, or "all"; the same number is taken of each class of the field
    `stratify` (without it all events are of one class). The selection, and the split into
    `fractions` of train, valid and test (equal for every class), are drawn from `split_seed` alone.
    If the source gives the split itself, as an array `part` (see `Source.load`), each class keeps
    its shares of the parts, and `fractions` and `split_seed` move no event to another part. A
    `fold` replaces `fractions` (see `split_indices`). `thin` (see `thinning.thin`) drops events of
    one class of `stratify` from the training part; validation and test keep all events, weighted so
    that their losses correspond to the class mixture of the training part. `frame` transforms every
    event; the transformation is stored as TURN. Scales are fitted on the training part. Large
    arrays are stored as `memory` says (see `Growing`); only float16 changes numbers. `where` names
    the data in errors.

    Raises DataError for data that do not fit `fields`, ConfigError for values out of range.
    """
    compact = {name for name, field in fields.items() if field.compact and name != stratify}
    exact = "auto" if memory == "float16" else memory  # of what is not encoded yet
    raw = dict(source.load_compact(list(fields), compact=compact, memory=exact))
    check_events(raw, fields, where=where)
    if set(fractions) != set(PARTS) or min(fractions.values()) <= 0:
        raise ConfigError(f"data.fractions: expected {list(PARTS)}, all > 0, found {fractions}")
    small = {name: value for name, value in raw.items() if isinstance(value, np.ndarray)}
    raw_label = (
        np.zeros(len(next(iter(raw.values()))), int) if stratify is None else small[stratify]
    )
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
        part=small.get("part"),
        fold=fold,
    )
    if thin is not None:
        indices["train"] = thinned(raw_label, indices["train"], thin)
    framed = {
        part: _framed(
            {name: raw[name] for name in fields}, rows, frame, compact, exact, where=where
        )
        for part, rows in indices.items()
    }
    raw.clear()
    parts: dict[str, Batch] = {part: {} for part in PARTS}
    for name, field in fields.items():
        field.fit(cast("np.ndarray", framed["train"][name]))
        for part in PARTS:
            values = framed[part].pop(name)
            parts[part][name] = _encoded(field, values, memory if name in compact else "plain")
    for part in PARTS:
        if TURN in framed[part]:
            turn = np.asarray(framed[part][TURN])
            parts[part][TURN] = torch.from_numpy(turn.astype(np.float32))
    if "weight" in small:
        weight = small["weight"].astype(np.float32)
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


def _framed(
    raw: Mapping[str, Compact],
    rows: np.ndarray,
    frame: Frame | None,
    compact: Collection[str],
    memory: str,
    *,
    where: str,
) -> dict[str, Compact]:
    """The fields of the events `rows`, in the frame, and the frame's transformation as TURN."""
    kept: dict[str, Growing] = {}
    for start in range(0, len(rows), PIECE):
        chosen = rows[start : start + PIECE]
        piece = {name: value[chosen] for name, value in raw.items()}
        if frame is not None:
            piece, piece[TURN] = frame.turn(piece, where=where)
        for name, values in piece.items():
            how = memory if name in compact else "plain"
            kept.setdefault(name, Growing(len(rows), how)).add(values)
    return {name: one.done() for name, one in kept.items()}


def _encoded(field: Field, values: Compact, memory: str) -> Tensor:
    """The encoded tensor of a field; encoded in pieces unless it is a plain array in memory."""
    if isinstance(values, np.ndarray) and memory in ("auto", "plain"):
        return field.encode(values)
    kept = Growing(len(values), memory)
    for piece in in_pieces(values):
        kept.add(field.encode(piece).numpy())
    return tensor_of(kept.done())


def check_events(raw: Mapping[str, Compact], fields: Mapping[str, Field], *, where: str) -> None:
    """Raise DataError, naming data, key, found and expected, unless `raw` fits `fields`."""
    check_names(raw, list(fields), where=where)
    for name, field in fields.items():
        field.check(name, cast("np.ndarray", raw[name]), where=where)
        check_bounds(name, raw[name], field, where=where)
    if "weight" in raw:
        _check_weight(np.asarray(raw["weight"]), where=where)
    if "part" in raw:
        _check_part(np.asarray(raw["part"]), where=where)
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
