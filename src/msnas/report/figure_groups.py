"""Which runs can be compared: those that differ in method and seed alone. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msnas.identity import digest
from msnas.report.collect import FinishedRun, OtherRun

NOT_SHARED = (
    "seed",
    "method",
    "output",
    "logger",
    "force",
    "trainer",
    "task_weight",
    "task_weights",
    "problem",
    "data",
    "tasks",
    "recipe",
)
"""Settings that may differ within a group, or that `shared_settings` takes in a purer form."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs of one problem on the same events with the same task weights, candidates, recipe.

    `runs[label][seed]`: a label is a method's name, followed by the settings in which its runs in
    this group differ, as in `spos sampling=fair`. `own` are the shared settings in which it
    differs from the other groups of its problem.
    """

    settings: Mapping[str, Any]
    runs: Mapping[str, Mapping[int, FinishedRun]]
    own: Mapping[str, Any]

    @property
    def first(self) -> FinishedRun:
        """One of the runs."""
        return next(iter(next(iter(self.runs.values())).values()))

    def labels_of(self, method: str) -> list[str]:
        """The labels of a method."""
        return [label for label, runs in self.runs.items() if first_of(runs).method == method]

    def describe(self) -> str:
        """Problem, events, task weights and candidates in one line, then what is its own."""
        run = self.first
        weights = ", ".join(f"{name} {value:g}" for name, value in self._weights().items())
        candidates = " x ".join("{" + ", ".join(names) + "}" for names in run.candidates)
        parts = [
            str(run.result["problem"]),
            f"{run.result['data'].get('events', 'unknown')} events",
            f"weights {weights}",
            f"candidates {candidates}",
        ]
        return "; ".join([*parts, *(f"{key}={value}" for key, value in self.own.items())])

    def found(self) -> str:
        """The labels with their seeds, in one line."""
        return ", ".join(
            f"{label} (seeds {', '.join(map(str, runs))})" for label, runs in self.runs.items()
        )

    def _weights(self) -> Mapping[str, float]:
        weights: Mapping[str, float] = self.settings["task_weights"]
        return weights


def first_of(runs: Mapping[int, FinishedRun]) -> FinishedRun:
    """The run of the first seed."""
    return next(iter(runs.values()))


def group_runs(runs: Sequence[FinishedRun]) -> tuple[list[Group], list[OtherRun]]:
    """The groups, in the order of their first runs, and the runs that only repeat another one."""
    members: dict[str, list[FinishedRun]] = {}
    settings: dict[str, dict[str, Any]] = {}
    for run in runs:
        shared = shared_settings(run)
        key = digest(shared)
        settings.setdefault(key, shared)
        members.setdefault(key, []).append(run)
    groups, repeats = [], []
    for key, ones in members.items():
        labelled, repeated = _by_label(ones)
        repeats += repeated
        others = [
            flat(other)
            for name, other in settings.items()
            if name != key and other["problem"] == settings[key]["problem"]
        ]
        groups.append(
            Group(settings=settings[key], runs=labelled, own=_own(flat(settings[key]), others))
        )
    return groups, repeats


def shared_settings(run: FinishedRun) -> dict[str, Any]:
    """Everything that two runs must have in common to be compared.

    All that can change numbers but seed, method, the recipe of a super-network's training (grid
    search has none), the machine (its precision counts), and the judge of validity, who decides
    nothing. The data are told by their content, not by the file's name.
    """
    config, result = run.config, run.result
    data = {key: value for key, value in config["data"].items() if key not in ("file", "source")}
    source = config["data"].get("source", {})
    recipe = config.get("recipe", {})
    return {
        **{key: value for key, value in config.items() if key not in NOT_SHARED},
        "problem": result["problem"],
        "chain": run.tasks,
        "data": {
            **data,
            "source": {key: value for key, value in source.items() if key != "file"},
            "content": {key: value for key, value in result["data"].items() if key != "file"},
        },
        "task_weights": result["task_weights"],
        "tasks": {
            task: {key: value for key, value in config["tasks"][task].items() if key != "validity"}
            for task in run.tasks
        },
        "recipe": {
            key: value for key, value in recipe.items() if key not in ("search", "evaluation_batch")
        },
        "precision": config.get("trainer", {}).get("precision"),
    }


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `a.b.c`."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        nested = isinstance(value, Mapping) and value
        found |= flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return found


def _own(settings: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Settings that another group has otherwise, but for what `Group.describe` tells anyway."""
    return {
        key: value
        for key, value in settings.items()
        if not key.startswith(("task_weights.", "data.events", "data.content.events"))
        and ".candidates." not in key
        and any(other.get(key, value) != value for other in others)
    }


def _by_label(
    runs: Sequence[FinishedRun],
) -> tuple[dict[str, dict[int, FinishedRun]], list[OtherRun]]:
    """Runs by label and, in order, by seed; and those whose label and seed came before."""
    variants: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        variants.setdefault(run.method, []).append(_variant(run))
    labelled: dict[str, dict[int, FinishedRun]] = {}
    repeats = []
    for run in runs:
        mine = _variant(run)
        keys = dict.fromkeys(key for one in variants[run.method] for key in one)
        differing = [
            key
            for key in keys
            if any(one.get(key) != mine.get(key) for one in variants[run.method])
        ]
        words = [f"{key}={mine[key]}".replace("'", "") for key in differing if key in mine]
        seeds = labelled.setdefault(" ".join([run.method, *words]), {})
        if run.seed in seeds:
            same = f"same settings and seed as {seeds[run.seed].directory}"
            repeats.append(OtherRun(directory=run.directory, reason=same))
        else:
            seeds[run.seed] = run
    return {label: dict(sorted(labelled[label].items())) for label in sorted(labelled)}, repeats


def _variant(run: FinishedRun) -> dict[str, Any]:
    """A run's settings of its own: the method's, and how its super-network was trained."""
    method = {
        key: value for key, value in run.config["method"].items() if key not in ("name", "_target_")
    }
    searched = run.result.get("stages", {}).get("search", {}).get("epochs", {})
    if "super-network" in searched:
        method["recipe"] = {"search": run.config["recipe"]["search"]}
    return flat(method)


def metrics_with_direction(run: FinishedRun, tasks: Sequence[str]) -> dict[str, bool]:
    """The one-number metrics of some tasks that tell what is better, as `<task>/<metric>`."""
    valid = run.result["metrics"]["valid"]
    return {
        name: higher
        for name, higher in run.result["directions"].items()
        if higher is not None
        and name.split("/")[0] in tasks
        and isinstance(valid.get(name), int | float)
    }
