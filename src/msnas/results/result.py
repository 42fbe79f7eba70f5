"""A finished run's result: what result.json says, with its configuration. Imports no PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, final, get_args

from msnas.results.honesty import HonestyNumbers, InterventionNumbers, LeakageNumbers
from msnas.results.records import FoldNumbers, RefitNumbers, is_number
from msnas.results.schema import (
    SCHEMA,
    ChainNumbers,
    ChoiceRecord,
    Condition,
    Finished,
    Reading,
    Stage,
    Winner,
)
from msnas.results.shifts import ShiftRecord
from msnas.run_directory import RunDirectory
from msnas.storage import FILES, damage_of
from msnas.terminal import CHAIN

Part = Literal["valid", "test"]

VALIDITY = "validity/joint"
"""Share of events whose first output is valid in all variables."""

TASK_WEIGHT = "task_weight"
TASK_WEIGHTS = "task_weights"
"""The parameter that stands for v1 where a run was trained for a range of it."""

OF_BOTH = ("Constant", "Mean", "Random", "Sum")
"""Names that torchjd has for an aggregator of gradients and for a scalarizer of losses."""

REAL = ("search", "posttrain")
"""The stages whose time is that of a method; pre-training is shared."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """Numbers of the selected chain, what was selected from, and what it took.

    `valid` and `test` hold a number by `<task>/<metric>`, or numbers by variable. `directions`
    tell of each metric whether higher is better (None: neither). `chains` are those judged on
    validation data, `choice` how sure the choice among them is; `conditions`, `winners` and `point`
    are a conditioned run's. With `folds` it is put together from as many runs (`results.folds`);
    `refit` is about the chain that was then trained for use.
    Stored under schema 1 (`results.schema`): what was not computed is empty or None here, absent
    there.
    """

    directory: Path
    config: Mapping[str, Any]
    problem: str
    method: str
    key: str
    seed: int
    task_weights: Mapping[str, float]
    selected: Mapping[str, str]
    valid: Mapping[str, Any]
    test: Mapping[str, Any]
    directions: Mapping[str, bool | None]
    chains: Sequence[ChainNumbers]
    data: Mapping[str, Any]
    parameters: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    point: Mapping[str, float] | None = None
    conditions: Sequence[Condition] = ()
    winners: Sequence[Winner] = ()
    probabilities: Mapping[str, Mapping[str, float]] | None = None
    reading: Reading | None = None
    choice: ChoiceRecord | None = None
    stages: Mapping[str, Stage] = field(default_factory=dict)
    interventions: InterventionNumbers | None = None
    honesty: Sequence[HonestyNumbers] = ()
    shifts: ShiftRecord | None = None
    folds: Sequence[FoldNumbers] = ()
    refit: RefitNumbers | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, directory: Path, record: dict[str, Any] | None = None) -> Result:
        """The result of the run in `directory`; raise DataError unless it is whole and its own.

        The `record` is its result.json, if that has been read.
        """
        config, record = RunDirectory(directory).read(record)
        return cls.of(record, config=config, directory=directory)

    @classmethod
    def of(cls, record: Mapping[str, Any], *, config: Mapping[str, Any], directory: Path) -> Result:
        """The result in a checked record of schema 1."""
        known = {one.name for one in fields(cls)} - {"directory", "config", "valid", "test"}
        told = {name: record[name] for name in known & record.keys()}
        parts: Any = {part: record["metrics"][part] for part in get_args(Part)}
        return cls(directory=directory, config=config, **{"key": directory.name, **told, **parts})

    def to_json(self) -> dict[str, Any]:
        """The record of schema 1, without checksums; what was not computed is absent."""
        metrics = {part: self.part(part) for part in get_args(Part)}
        record = {**vars(self), "schema": SCHEMA, "metrics": metrics, "status": "finished"}
        names = Finished.__annotations__
        return {name: record[name] for name in names if record[name] not in (None, ())}

    def history(self) -> list[dict[str, Any]]:
        """The epochs of all stages; raise DataError for a damaged file."""
        return RunDirectory(self.directory).history({FILES: self.files})

    def damage(self, *names: str) -> str | None:
        """Which of the run's files is not the one that was written, if one is."""
        return damage_of(self.directory, {FILES: self.files}, names)

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks in the order of the chain."""
        return list(self.config["problem"]["chain"])

    @property
    def supervised(self) -> list[str]:
        """Those with a loss: they have a weight."""
        return [task for task in self.tasks if task in self.task_weights]

    @property
    def candidates(self) -> list[list[str]]:
        """Names of the candidates of each task."""
        return [list(self.config["tasks"][task]["candidates"]) for task in self.tasks]

    @property
    def path(self) -> tuple[str, ...]:
        """The selected candidate of each task."""
        return self.path_of(self.selected)

    @property
    def chain(self) -> str:
        """The selected chain's name, such as `cnn-lstm`."""
        return CHAIN.join(self.path)

    @property
    def ranked(self) -> list[ChainNumbers]:
        """The chains of the search, the lowest loss first, then what post-training made of one."""
        return sorted(self.chains, key=lambda one: (one["stage"] != "search", one["valid"]["loss"]))

    def path_of(self, selected: Mapping[str, str]) -> tuple[str, ...]:
        """The candidates of a chain in the order of the tasks."""
        return tuple(selected[task] for task in self.tasks)

    @property
    def weights(self) -> list[float]:
        """The task weights in the order of the tasks."""
        return [self.task_weights[task] for task in self.supervised]

    @property
    def v1(self) -> float | None:
        """The weight of the first task that has one."""
        return self.weights[0] if self.weights else None

    @property
    def weighting(self) -> str:
        """How the tasks are weighted: the class, or that of torchjd; `Fixed` by default."""
        settings = self.config.get("weighting") or {}
        scalarizer = settings.get("scalarizer")
        named = scalarizer or settings.get("aggregator", settings)
        named = named.get("gramian_weighting", named)  # of an aggregator that has no name
        name = str(named.get("_target_", "Fixed")).rsplit(".", 1)[-1]
        return f"{name} of losses" if scalarizer and name in OF_BOTH else name

    @property
    def fixed_v1(self) -> float | None:
        """v1 where the training knew it: fixed, and not one of a range."""
        return None if self.weighting != "Fixed" or self.conditioned else self.v1

    def weights_at(self, parameters: Mapping[str, float]) -> dict[str, float]:
        """Task weights at a condition: by v1, by weights relative to the last, or the run's own."""
        *others, last = self.supervised
        if TASK_WEIGHT in parameters and len(others) == 1:
            v1 = float(parameters[TASK_WEIGHT])
            return {others[0]: v1, last: 1 - v1}
        relative = {
            task: float(parameters[key])
            for task in others
            if (key := f"{TASK_WEIGHTS}.{task}") in parameters
        }
        if len(relative) != len(others) or not others:
            return dict(self.task_weights)
        relative[last] = 1.0
        return {task: value / sum(relative.values()) for task, value in relative.items()}

    @property
    def conditioned(self) -> bool:
        """Whether it was trained once for a range of parameters."""
        return bool(self.conditions)

    def along(self, parameter: str) -> list[Condition]:
        """The conditions in which only this parameter varies, others as in the middle one."""

        def others(one: Condition) -> dict[str, float]:
            return {name: value for name, value in one["parameters"].items() if name != parameter}

        there = [one for one in self.conditions if parameter in one["parameters"]]
        middle = others(there[len(there) // 2]) if there else {}
        return [one for one in there if others(one) == middle]

    def at(self, condition: Condition) -> Result:
        """The run with the numbers and task weights of one of its conditions."""
        parameters = condition["parameters"]
        parts: Any = {part: condition.get(part, {}) for part in get_args(Part)}
        weights = self.weights_at(parameters)
        return replace(self, point=parameters, task_weights=weights, **parts)

    @property
    def seconds(self) -> dict[str, float]:
        """Time of each stage, also of what came from the cache."""
        return {
            name: float(stage["seconds"]) + float(stage.get("cached_seconds", 0))
            for name, stage in self.stages.items()
        }

    @property
    def seconds_here(self) -> float:
        """Time spent in the run itself."""
        return sum(float(stage["seconds"]) for stage in self.stages.values())

    @property
    def training_seconds(self) -> float | None:
        """Time of search and post-training; None if none is told."""
        return sum(self.seconds.get(name, 0.0) for name in REAL) if self.stages else None

    @property
    def pretrained(self) -> bool:
        """Whether its candidates were pre-trained."""
        enabled = self.config.get("pretrain", {}).get("enabled", True)
        return bool(enabled and self._epochs("pretrain"))

    @property
    def searched_together(self) -> bool:
        """Whether a super-network was trained, so that the recipe of the search counts."""
        return not self.stages or "super-network" in self._epochs("search")

    def _epochs(self, stage: str) -> Mapping[str, int]:
        return self.stages[stage].get("epochs", {}) if stage in self.stages else {}

    def part(self, part: Part) -> Mapping[str, Any]:
        """The numbers of validation or test data."""
        return self.valid if part == "valid" else self.test

    def directed(self, part: Part = "valid") -> dict[str, bool]:
        """The metrics of one number that tell what is better: whether higher is."""
        return {
            name: higher
            for name, higher in self.directions.items()
            if higher is not None and is_number(self.part(part).get(name))
        }

    @property
    def scalars(self) -> dict[str, dict[Part, float]]:
        """Metrics that are one number, and validity: of either part, as far as they are there."""
        parts: tuple[Part, Part] = ("valid", "test")
        found = {
            name: {
                part: float(self.part(part)[name])
                for part in parts
                if is_number(self.part(part).get(name))
            }
            for name in (*self.directions, VALIDITY)
        }
        return {name: values for name, values in found.items() if values}

    @property
    def judged(self) -> str | None:
        """The last task's first metric with a direction and a finite validation number, if any."""
        last = f"{list(self.task_weights)[-1]}/"
        return next(
            (
                name
                for name in self.directed()
                if name.startswith(last) and math.isfinite(self.valid[name])
            ),
            None,
        )

    def leakage(self, part: Part) -> dict[str, LeakageNumbers]:
        """By task the leakage at the run's own point, as far as it was measured."""
        own = self.honesty[0]["leakage"] if self.honesty else {}
        return {task: parts[part] for task, parts in own.items() if part in parts}

    def search_table(self) -> dict[tuple[str, ...], Mapping[str, Any]]:
        """The validation numbers of every chain judged in the search."""
        return {
            self.path_of(chain["selected"]): chain["valid"]
            for chain in self.chains
            if chain["stage"] == "search"
        }


def best_of(runs: Sequence[Result]) -> Result | None:
    """The best run on validation data by what the first is judged by; the first if several are.

    None if no metric says which is better.
    """
    metric = next((run.judged for run in runs if run.judged), None)
    if metric is None:
        return None
    return max(
        (run for run in runs if run.judged == metric),
        key=lambda run: run.valid[metric] * (1 if run.directions[metric] else -1),
    )
