"""How certain a run's choice of chain is, or a choice over several seeds. Imports no PyTorch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, final

import numpy as np

from msnas.confidence import CONFIDENCE, Over, Standing, Sureness, how_sure
from msnas.errors import DataError
from msnas.results.alike import JUDGE, alike, differing, labels, settings_of
from msnas.results.losses import ChainPath, Losses, read_losses
from msnas.results.result import Result
from msnas.results.runs import OtherRun
from msnas.results.schema import ChoiceRecord
from msnas.terminal import CHAIN

if TYPE_CHECKING:
    import pandas as pd

ONE_CHOICE = ("seed", "method.chain", "method.select_by", "selection", *JUDGE)
"""Settings in which runs may differ if their chains are compared in one choice."""

NUMBERS = ("loss", "best", "regret", "low", "high", "tied")
"""Numbers of a chain: the attributes of `Standing`."""

SIZES = ("parameters", "latency")
"""Sizes of a chain: number of trainable parameters, and latency [s per event]."""


@final
@dataclass(frozen=True, kw_only=True)
class Choice:
    """Chains to choose from, and how certain the best is; `sure.chains` are in order of `paths`.

    The chains were trained one by one, or `together` in a super-network. `default` is the chain of
    each task's best pre-trained candidate: the choice without a search. `sizes` are `parameters`
    and `latency` [s per event] of chains, given where a chain was selected by its size.
    """

    label: str
    tasks: Sequence[str]
    paths: Sequence[ChainPath]
    sure: Sureness
    seeds: Sequence[int]
    together: bool
    default: ChainPath | None = None
    sizes: Mapping[ChainPath, Mapping[str, float]] = field(default_factory=dict)
    runs: Sequence[Result] = ()

    @classmethod
    def of(cls, run: Result) -> Choice | None:
        """The choice recorded in a run's result.json; None without a record."""
        if (record := run.choice) is None:
            return None
        default = record.get("default")
        return cls(
            label=run.method,
            tasks=run.tasks,
            paths=[run.path_of(one["selected"]) for one in record["chains"]],
            sure=Sureness(
                confidence=record["confidence"],
                seeds=len(record["seeds"]),
                events=record["events"],
                chains=[_standing(one) for one in record["chains"]],
                event_error=record["event_error"],
                seed_error=record.get("seed_error"),
                enough_seeds=record.get("enough_seeds"),
                enough_events=record.get("enough_events"),
            ),
            seeds=record["seeds"],
            together=record["together"],
            default=None if default is None else run.path_of(default),
            sizes={
                run.path_of(one["selected"]): {name: one[name] for name in SIZES}  # type: ignore[literal-required]
                for one in record["chains"]
                if one.keys() >= set(SIZES)
            },
            runs=[run],
        )

    @property
    def title(self) -> str:
        """The method, its task weights, the number of chains, how they were trained, the seeds."""
        how = "together, in a super-network" if self.together else "each by itself"
        seeds = f"seed{'s' * (len(self.seeds) > 1)} {_listed(self.seeds)}"
        weights = self.runs[0].weights if self.runs else []
        told = ", ".join(f"{one:g}" for one in weights)
        weighted = f", weights {told}" if len(weights) > 1 else ""
        return f"{self.label}{weighted}: {len(self.paths)} chains trained {how}, {seeds}"

    def words(self) -> list[str]:
        """What the numbers mean, in sentences."""
        first = self.sure.order[0]
        said = self.sure.words()
        if self.runs and (folds := len(self.runs[0].folds)):
            said.append(
                f"Each event is judged by the one of {folds} trainings that it validated; these "
                "share events that they learnt from."
            )
        if self.default and self.default in self.paths and self.paths[first] != self.default:
            place = list(self.paths).index(self.default)
            gain = self.sure.chains[place].loss - self.sure.chains[first].loss
            said.append(
                f"The loss of the default {CHAIN.join(self.default)}, each task's best pre-trained "
                f"candidate, minus that of the leading chain: {gain:+.4f}."
            )
        return said

    def rows(self) -> list[dict[str, Any]]:
        """A row for each chain, the most probable one first."""
        rows = []
        for place in self.sure.order:
            one = self.sure.chains[place]
            rows.append(
                {
                    "chain": CHAIN.join(self.paths[place]),
                    "loss": one.loss,
                    "P(best)": one.best,
                    "regret": one.regret,
                    "low": one.low,
                    "high": one.high,
                    "tie set": one.tied,
                    "default": self.paths[place] == self.default,
                    **self.sizes.get(self.paths[place], {}),
                }
            )
        return rows

    def table(self) -> pd.DataFrame:
        """The `rows` as a data frame."""
        import pandas as pd  # half a second: only for a table

        return pd.DataFrame(self.rows())

    def to_json(self) -> ChoiceRecord:
        """The record for result.json and choice.json; numbers that are not known are absent."""

        def named(path: ChainPath) -> dict[str, str]:
            return dict(zip(self.tasks, path, strict=True))

        sure = self.sure
        known: dict[str, Any] = {
            "seed_error": sure.seed_error,
            "enough_seeds": sure.enough_seeds,
            "enough_events": sure.enough_events,
            "default": None if self.default is None else named(self.default),
        }
        record: dict[str, Any] = {
            "confidence": sure.confidence,
            "decided": sure.decided,
            "dominates": sure.dominates,
            "seeds": list(self.seeds),
            "events": sure.events,
            "together": self.together,
            "event_error": sure.event_error,
            **{name: value for name, value in known.items() if value is not None},
            "chains": [
                {
                    "selected": named(self.paths[place]),
                    **{name: getattr(sure.chains[place], name) for name in NUMBERS},
                    **self.sizes.get(self.paths[place], {}),
                }
                for place in sure.order
            ],
        }
        return record  # type: ignore[return-value]


def _standing(record: Mapping[str, Any]) -> Standing:
    return Standing(**{name: record[name] for name in NUMBERS})


def choices_of(
    runs: Sequence[Result], *, confidence: float = CONFIDENCE, over: Over | None = None
) -> tuple[list[Choice], list[OtherRun]]:
    """The choice of each group of runs alike but for `ONE_CHOICE`; and the runs in no choice.

    A run that ranks chains enters with the losses it ranked them by; runs of a given chain, such as
    `fixed_chain`, enter with that chain and form one choice per group. Some chains may have more
    seeds than others, as after a race.
    """
    found, others = [], []
    told = dict(zip(map(id, runs), labels(runs, without=ONE_CHOICE), strict=True))
    for group in alike(runs, but_for=ONE_CHOICE):
        losses, unread = _read(group.runs)
        table, seeds = _complete(losses)
        used = [run for run, _ in losses]
        if len(table) < 2:
            reason = f"nothing to choose from: {_chains_in_words(list(table))}"
            unread += [OtherRun(directory=run.directory, reason=reason) for run in used]
        else:
            defaults = Counter(
                run.path_of(run.choice["default"])
                for run in used
                if run.choice is not None and "default" in run.choice
            )
            found.append(
                Choice(
                    label=told[id(used[0])],
                    tasks=used[0].tasks,
                    paths=list(table),
                    sure=_sure(table, seeds, confidence=confidence, over=over),
                    seeds=seeds,
                    together=used[0].searched_together and bool(used[0].search_table()),
                    default=defaults.most_common(1)[0][0] if defaults else None,
                    runs=[run for run in used if run.seed in seeds],
                )
            )
        others += unread
    return found, others


def choices_over_seeds(runs: Sequence[Result]) -> list[Choice]:
    """The choices made from at least two seeds; read once for the same runs."""
    return list(_over_seeds(tuple(runs)))


@lru_cache(maxsize=2)
def _over_seeds(runs: tuple[Result, ...]) -> list[Choice]:
    several = [
        run
        for group in alike(runs, but_for=ONE_CHOICE)
        if len({run.seed for run in group.runs}) > 1
        for run in group.runs
    ]
    return [one for one in choices_of(several)[0] if len(one.seeds) > 1]


def check_data(runs: Sequence[Result]) -> None:
    """Raise DataError if different given chains, otherwise comparable, saw different data."""
    for group in alike(runs, but_for=(*ONE_CHOICE, "data")):
        paths = sorted({run.path for run in group.runs if not run.search_table()})
        settings = [settings_of(run) for run in group.runs]
        keys = [key for key in differing(settings) if key.startswith("data.")]
        if len(paths) > 1 and keys:
            found = "; ".join(
                f"{key}: {', '.join(sorted({str(one.get(key)) for one in settings}))}"
                for key in keys
            )
            raise DataError(
                f"runs: {_chains_in_words(paths)} were judged on different data ({found}); "
                "allowed are chains judged on the same events"
            )


def _read(runs: Sequence[Result]) -> tuple[list[tuple[Result, Losses]], list[OtherRun]]:
    """The losses of runs judged on the same events as the first run; and the runs left out."""
    found: list[tuple[Result, Losses]] = []
    others = []
    for run in runs:
        try:
            losses = read_losses(run)
            first, its = found[0] if found else (run, losses)
            if (losses.events, len(losses.selected)) != (its.events, len(its.selected)):
                raise DataError(
                    f"judged on events {losses.events} ({len(losses.selected)}), allowed are the "
                    f"events {its.events} ({len(its.selected)}) of {first.directory}"
                )
        except DataError as error:
            others.append(OtherRun(directory=run.directory, reason=str(error)))
        else:
            found.append((run, losses))
    return found, others


def _complete(
    runs: Sequence[tuple[Result, Losses]],
) -> tuple[dict[ChainPath, dict[int, np.ndarray]], list[int]]:
    """Losses, by chain and seed, of chains that have all the most frequent seeds; and the seeds.

    The seeds are the most frequent seeds, and others that at least two of these chains have.
    """
    found: dict[ChainPath, dict[int, np.ndarray]] = {}
    for run, losses in runs:
        for path, own in (losses.ranked or {run.path: losses.selected}).items():
            found.setdefault(path, {}).setdefault(run.seed, own)
    counts = Counter(seed for own in found.values() for seed in own)
    shared = {seed for seed, count in counts.items() if count == max(counts.values())}
    table = {path: own for path, own in found.items() if shared <= own.keys()}
    counts = Counter(seed for own in table.values() for seed in own)
    return table, sorted(seed for seed, count in counts.items() if count > 1 or seed in shared)


def _sure(
    table: Mapping[ChainPath, Mapping[int, np.ndarray]],
    seeds: Sequence[int],
    *,
    confidence: float,
    over: Over | None,
) -> Sureness:
    trained = np.array([[seed in own for seed in seeds] for own in table.values()])
    nothing = np.zeros_like(next(iter(table.values()))[seeds[0]])
    losses = np.array([[own.get(seed, nothing) for seed in seeds] for own in table.values()])
    return how_sure(losses, trained=trained, confidence=confidence, over=over)


def _listed(seeds: Sequence[int]) -> str:
    """`0, 1, 2`, or `0 to 19` for more of them in a row."""
    if len(seeds) > 3 and list(seeds) == [*range(seeds[0], seeds[-1] + 1)]:
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def _chains_in_words(paths: Sequence[ChainPath]) -> str:
    names = ", ".join(CHAIN.join(path) for path in paths)
    return f"{len(paths)} chain{'s' * (len(paths) != 1)} ({names})"
