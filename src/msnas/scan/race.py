"""Races of chains over several seeds, in rounds of runs of a scan. Imports no PyTorch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import final

import numpy as np

from msnas.errors import ConfigError, DataError, MsnasError, one_line
from msnas.race import RaceOverSeeds, Rules, Training
from msnas.results.losses import read_losses
from msnas.scan.work import ImpossibleRun, RunWork
from msnas.terminal import CHAIN

TARGET = "msnas.methods.race.Race"

MakeRun = Callable[[Sequence[str]], RunWork]
"""Makes the run that a list of overrides describes."""


@final
class ScanRace:
    """The race that replaces `runs` of `method=race` which differ in their seed alone.

    It trains one chain with one seed at a time. Each training is an ordinary run of
    `method=fixed_chain`; other runs of the same chain and seed share it.
    """

    def __init__(self, runs: Sequence[RunWork], *, make: MakeRun) -> None:
        plan = runs[0].plan
        if (by := plan.config.get("selection")) is not None:
            raise ConfigError(
                f"selection: {by} takes one of a run's chains; a race over seeds tells all of the "
                "tie set, allowed is best"
            )
        candidates = [plan.config["tasks"][task]["candidates"] for task in plan.chain]
        settings = plan.config["method"]
        self.runs = runs
        self.paths = list(itertools.product(*candidates))
        self.race = RaceOverSeeds(
            chains=len(self.paths),
            seeds=len(runs),
            rules=Rules(
                **{one.name: settings[one.name] for one in fields(Rules) if one.name in settings}
            ),
        )
        self.works: dict[Training, RunWork] = {}
        self.trouble: str | None = None
        self._make = make
        self._losses: dict[Training, np.ndarray] = {}

    def go_on(self, *, retry: bool = False) -> list[RunWork]:
        """The runs left to do in the first incomplete round; complete rounds are evaluated.

        With `retry` a training that failed before this scan is done again.
        """
        while self.race.round and self.trouble is None:
            for training in self.race.round:
                if training not in self.works:
                    self.works[training] = self._make(self._overrides(*training))
                    if retry:
                        self.works[training].forget_failure()
            works = {training: self.works[training] for training in self.race.round}
            if left := [work for work in works.values() if work.left]:
                return left
            try:
                for training, work in works.items():
                    if work.result is None:
                        raise DataError(f"the run {work.directory.path} failed")
                    self._losses[training] = read_losses(work.result).selected
                self.race.take(self._losses)
            except MsnasError as error:
                self.trouble = one_line(error)
        return []

    def words(self) -> list[str]:
        """Sentences that say how the race ended, or how far it is."""
        race = self.race
        told = (
            f"Race of {len(self.paths)} chains: {race.trainings} of "
            f"{len(self.paths) * race.seeds} trainings in {len(race.rounds)} rounds"
        )
        if self.trouble is not None:
            return [f"{told}; it cannot go on: {self.trouble}"]
        if race.sure is None or race.over is None:
            return [f"{told} so far."]
        sure = race.sure
        leader = CHAIN.join(self.paths[sure.order[0]])
        said = [
            f"{told}; it ended as {race.over}.",
            f"Best: {leader}, P(best) = {sure.leader.best:.3f}, looked at after every round.",
        ]
        if not sure.decided:
            tied = ", ".join(CHAIN.join(self.paths[one]) for one in sure.order[: sure.tied])
            said.append(f"Tie set: {tied}.")
        if sure.dominates == "events" and sure.enough_events is not None:
            said.append(
                f"About {sure.enough_events:,} validation events would decide: more data, or the "
                "training events too by cross-fitting (data.folds)."
            )
        return said

    def _overrides(self, chain: int, seed: int) -> list[str]:
        names = [f"'{name}'" for name in self.paths[chain]]
        kept = [
            one
            for one in self.runs[seed].overrides
            if one.lstrip("+~").split("=")[0].split(".")[0] != "method"
        ]
        return [*kept, "method=fixed_chain", f"method.chain=[{','.join(names)}]"]


def find_races(
    runs: Sequence[RunWork], *, make: MakeRun
) -> tuple[list[RunWork], list[ScanRace], list[ImpossibleRun]]:
    """Split `runs` into ordinary runs, races over seeds, and races that are not possible."""
    groups: dict[str, list[RunWork]] = {}
    for run in runs:
        if run.plan.config["method"]["_target_"] == TARGET:
            groups.setdefault(run.plan.with_seed(0).key, []).append(run)
    races, impossible = [], []
    taken = {id(run) for group in groups.values() if len(group) > 1 for run in group}
    for group in groups.values():
        if len(group) > 1:
            try:
                races.append(ScanRace(group, make=make))
            except MsnasError as error:
                impossible.append(ImpossibleRun(group[0].overrides, error=one_line(error)))
    return [run for run in runs if id(run) not in taken], races, impossible
