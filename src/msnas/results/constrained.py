"""Recommends the task weight v1 of the best last task with honest intermediate outputs.

A v1 is allowed if its joint validity and its leakage interval meet `Bounds`; recommended is the
allowed v1 with the best metric of the last task. Uses validation events only. Imports no PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from msnas.data.checks import finite
from msnas.errors import ConfigError, DataError
from msnas.results.alike import SPLIT, alike
from msnas.results.event_error import AUC
from msnas.results.outputs import read_own
from msnas.results.quantity import quantity_of
from msnas.results.result import TASK_WEIGHT, Result
from msnas.run_directory import HONESTY

RESAMPLES, CONFIDENCE = 400, 0.95
"""Bootstrap resamples of events and seeds; confidence level of the leakage interval."""

Drawn = Float[np.ndarray, "resample"]


class Counts(NamedTuple):
    """How often each resample draws each event (resample 0: once), in either order of axes."""

    by_resample: Float[np.ndarray, "resample event"]
    by_event: Float[np.ndarray, "event resample"]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """For an allowed v1: the lowest joint validity, the highest lower end of a leakage interval."""

    validity: float = 0.95
    leakage: float = 0.0

    def __post_init__(self) -> None:
        """Raise ConfigError for bounds outside [0, 1]."""
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise ConfigError(f"{name}: expected a number from 0 to 1, found {value}")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A v1 with means over seeds: the last task's number, validity and leakage of the worst task.

    `low` and `high` are the ends of the leakage interval; numbers not measured are None. `share` is
    the share of resamples that choose this v1. `refused` names the bounds that this v1 misses.
    """

    v1: float
    value: float
    validity: float | None
    leakage: float | None
    low: float | None
    high: float | None
    refused: Sequence[str]
    share: float


@dataclass(frozen=True, kw_only=True)
class Recommended:
    """The recommended v1 of runs that are alike; None if no v1 is allowed.

    `quantity` is the number by which v1 is best; `none` the share of resamples that allow no v1.
    """

    runs: Sequence[Result]
    quantity: str
    seeds: int
    bounds: Bounds
    v1: float | None
    candidates: Sequence[Candidate]
    none: float


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A chain's validation events at one v1: the last task's truth, scores and losses, by event.

    By task `inside` (whether all variables are valid) and `excess` (see `evaluation.honesty`).
    """

    truth: np.ndarray
    score: np.ndarray | None
    loss: Float[np.ndarray, " event"]
    inside: Mapping[str, np.ndarray] = field(default_factory=dict)
    excess: Mapping[str, np.ndarray] = field(default_factory=dict)


def recommendations(runs: Sequence[Result], bounds: Bounds) -> list[Recommended]:
    """A recommendation for each group of runs that differ only in seed, split and v1.

    Groups have at least two v1. Runs trained for a range of v1 form groups of their own. Read once
    for the same runs and bounds.
    """
    return list(_recommendations(tuple(runs), bounds))


@lru_cache(maxsize=2)
def _recommendations(runs: tuple[Result, ...], bounds: Bounds) -> list[Recommended]:
    usable = [run for run in runs if run.honesty and len(run.supervised) == 2]
    found = []
    for group in alike(usable, but_for=["seed", "weight", *SPLIT]):
        seen: dict[tuple[int, int], dict[float, Seen]] = {}
        for run in group.runs:
            own = seen.setdefault((run.seed, run.config["data"].get("split_seed", 0)), {})
            for v1, events in _along_v1(run).items():
                own.setdefault(v1, events)
        shared = set.intersection(*(set(one) for one in seen.values()))
        if len(shared) > 1:
            found.append(_recommend(group.runs, seen, sorted(shared), bounds))
    return found


def _along_v1(run: Result) -> dict[float, Seen]:
    """The run's validation events at every v1 it stands for."""
    try:
        points = read_seen(run)
    except DataError:
        return {}
    if not run.conditioned:
        return {} if run.fixed_v1 is None else {round(run.fixed_v1, 9): points[0]}
    along = run.along(TASK_WEIGHT)
    return {
        round(float(one["parameters"][TASK_WEIGHT]), 9): seen
        for one, seen in zip(run.conditions, points[1:], strict=True)
        if any(one is other for other in along)
    }


def read_seen(run: Result) -> list[Seen]:
    """A run's honesty.h5, at each of its points; raise DataError if it does not fit the run."""
    kinds = [f"{kind}/{task}" for kind in ("inside", "excess") for task in run.tasks]
    names = ["truth", "loss", "score", *kinds]
    arrays = read_own(run, HONESTY, names).arrays
    if not {"truth", "loss"} <= arrays.keys():
        raise DataError(f"{HONESTY}: expected truth and loss, found {sorted(arrays)}")
    points = 1 + len(run.conditions)
    if len(run.honesty) != points:
        raise DataError(f"honesty: {len(run.honesty)} points, expected {points}")
    for name, values in arrays.items():
        shape = values.shape[:1] if name == "truth" else values.shape
        expected = (len(arrays["truth"]),) if name == "truth" else (points, len(arrays["truth"]))
        if not values.size or shape != expected or not finite(values).all():
            raise DataError(f"{HONESTY}: {name}: expected finite numbers {list(expected)}")
    return [
        Seen(
            truth=arrays["truth"],
            score=arrays["score"][place] if "score" in arrays else None,
            loss=arrays["loss"][place].astype(float),
            **{
                kind: {
                    task: arrays[f"{kind}/{task}"][place].astype(float)
                    for task in run.tasks
                    if f"{kind}/{task}" in arrays
                }
                for kind in ("inside", "excess")
            },
        )
        for place in range(points)
    ]


def _recommend(
    runs: Sequence[Result],
    seen: Mapping[tuple[int, int], Mapping[float, Seen]],
    values: Sequence[float],
    bounds: Bounds,
) -> Recommended:
    run = runs[0]
    last = quantity_of(runs, run.tasks[-1])
    metrics = run.config["tasks"][run.tasks[-1]].get("metrics", {})
    known = last is not None and metrics.get(last.metric, {}).get("_target_") == AUC
    by_auc = known and all(_binary(one) for own in seen.values() for one in own.values())
    generator = np.random.default_rng(0)
    counts = _counts(seen, generator)
    chosen = generator.integers(len(seen), size=(RESAMPLES + 1, len(seen)))
    chosen[0] = np.arange(len(seen))  # resample 0 is the original runs

    def over(number: Callable[[Seen, Counts], Drawn]) -> np.ndarray:
        """A number's mean over the drawn seeds, [resample, v1]; row 0 is without resampling."""
        each = np.array(
            [[number(own[v1], counts[key]) for v1 in values] for key, own in seen.items()]
        )
        rows = np.arange(RESAMPLES + 1)[:, None]
        found: np.ndarray = each.transpose(2, 0, 1)[rows, chosen].mean(1)
        return found

    score = over(_auc if by_auc else _minus_loss)
    allowed = np.ones_like(score, dtype=bool)
    refused: list[list[str]] = [[] for _ in values]
    first = next(iter(next(iter(seen.values())).values()))
    validity = [over(partial(_share, "inside", task)) for task in first.inside]
    leakage = [over(partial(_share, "excess", task)) for task in first.excess]
    tail = 100 * (1 - CONFIDENCE) / 2
    ends = [np.percentile(one[1:], [tail, 100 - tail], axis=0) for one in leakage]
    rules = [("validity", one >= bounds.validity) for one in validity]
    rules += [
        ("leakage", one - (one[0] - low) <= bounds.leakage)
        for one, (low, _) in zip(leakage, ends, strict=True)
    ]
    for name, kept in rules:
        allowed &= kept
        for place in np.flatnonzero(~kept[0]):
            refused[place].append(name)
    best = np.where(allowed.any(1), np.where(allowed, score, -np.inf).argmax(1), -1)
    worst = int(np.argmax([float(one[0].max()) for one in leakage])) if leakage else None
    return Recommended(
        runs=runs,
        quantity=last.label if by_auc and last is not None else f"loss of {run.tasks[-1]}",
        seeds=len(seen),
        bounds=bounds,
        v1=None if best[0] < 0 else values[best[0]],
        none=float((best[1:] < 0).mean()),
        candidates=[
            Candidate(
                v1=v1,
                value=float(score[0, place]) * (1 if by_auc else -1),
                validity=min((float(one[0, place]) for one in validity), default=None),
                leakage=None if worst is None else max(0.0, float(leakage[worst][0, place])),
                low=None if worst is None else max(0.0, float(ends[worst][0, place])),
                high=None if worst is None else max(0.0, float(ends[worst][1, place])),
                refused=refused[place],
                share=float((best[1:] == place).mean()),
            )
            for place, v1 in enumerate(values)
        ],
    )


def _counts(
    seen: Mapping[tuple[int, int], Mapping[float, Seen]], generator: np.random.Generator
) -> dict[tuple[int, int], Counts]:
    """Counts for each seed and split, equal for runs of one split."""
    found: dict[int, Counts] = {}
    for (_, split), own in seen.items():
        count = len(next(iter(own.values())).truth)
        if split not in found:
            drawn = generator.multinomial(count, [1 / count] * count, size=RESAMPLES)
            every = np.concatenate([np.ones((1, count)), drawn])
            found[split] = Counts(every, np.ascontiguousarray(every.T))
    return {key: found[key[1]] for key in seen}


def _binary(one: Seen) -> bool:
    return one.score is not None and set(np.unique(one.truth).tolist()) == {0, 1}


def _mean(values: Float[np.ndarray, " event"], counts: Counts) -> Drawn:
    drawn: np.ndarray = counts.by_resample @ values / len(values)
    return drawn


def _share(kind: str, task: str, one: Seen, counts: Counts) -> Drawn:
    return _mean(getattr(one, kind)[task], counts)


def _minus_loss(one: Seen, counts: Counts) -> Drawn:
    return -_mean(one.loss, counts)


def _auc(one: Seen, counts: Counts) -> Drawn:
    """Area under the ROC curve of resampled events; equal scores count half."""
    assert one.score is not None
    ones, zeros = (np.flatnonzero(one.truth == label) for label in (1, 0))
    zeros = zeros[np.argsort(one.score[zeros])]
    # row k: how many of the k lowest events of class 0 are drawn
    lowest = np.pad(counts.by_event[zeros].cumsum(0), [(1, 0), (0, 0)])
    sides = [one.score[zeros].searchsorted(one.score[ones], side) for side in ("left", "right")]
    drawn = counts.by_event[ones]
    pairs = (lowest[sides[0]] + lowest[sides[1]]) * drawn / 2
    area: np.ndarray = pairs.sum(0) / (drawn.sum(0) * lowest[-1])
    return area
