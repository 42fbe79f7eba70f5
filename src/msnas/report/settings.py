"""In which settings runs differ, and the labels that keep different ones apart.

Imports no PyTorch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from msnas.identity import canonical, digest
from msnas.report.collect import FinishedRun
from msnas.report.figure_groups import flat

NO_SETTING = (
    "seed",
    "task_weight",
    "task_weights",
    "output",
    "logger",
    "force",
    "retry_failed",
    "dry_run",
    "hydra",
    "problem",
    "method.name",
)
"""Settings with a column of their own, or that change no number; with all below them."""

PATHS = ("file", "path", "folder", "directory")
"""Last words of settings that say where something lies: data are told by their content."""

REPLICAS = ("trainer", "data.split_seed")
"""Runs that differ in these repeat the same thing: no part of a label."""

LENGTH = 60
"""Letters of a setting's value in a label."""


def settings_of(run: FinishedRun) -> dict[str, Any]:
    """Every setting of a run that can change a number, as `a.b.c` with plain values.

    The candidates of a task are also one setting, `tasks.<task>.candidates`; the events are told by
    `data.content`, and the weights of the tasks after the first, if there are several, by
    `task_weights.others`.
    """
    found = {
        key: value
        for key, value in flat(run.config).items()
        if not _within(key, NO_SETTING) and key.split(".")[-1] not in PATHS
    }
    for task, names in zip(run.tasks, run.candidates, strict=True):
        found[f"tasks.{task}.candidates"] = ",".join(names)
    data = run.result["data"]
    found["data.content"] = digest([data.get("sha256"), data.get("source")])[:8]
    if conditioning := run.config.get("conditioning"):
        found["conditioning"] = conditioning.get("parameters", "yes")
    if (others := _other_weights(run)) is not None:
        found["task_weights.others"] = others
    return {key: _plain(key, value) for key, value in found.items() if value is not None}


def differing(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings that have two values among `runs`; each run as `settings_of` gives it.

    Missing is a value, but settings that belong to something, such as a candidate, a loss or a
    method, are compared among the runs that have that same thing: the thing itself is a setting.
    """
    keys = dict.fromkeys(key for run in runs for key in run)
    things = [{part for key in run for part in _parents(key)} for run in runs]
    found = []
    for key in keys:
        parent = key.rpartition(".")[0]
        whole = key.endswith("._target_")
        values: dict[str, set[str]] = {}
        for run, there in zip(runs, things, strict=True):
            if parent and parent not in there:
                continue
            kind = "" if whole else str(run.get(f"{parent}._target_"))
            values.setdefault(kind, set()).add(_text(run.get(key)))
        if key != "method._target_" and any(len(one) > 1 for one in values.values()):
            found.append(key)
    return found


def _parents(key: str) -> list[str]:
    words = key.split(".")
    return [".".join(words[:size]) for size in range(1, len(words))]


def labels(
    methods: Sequence[str], settings: Sequence[Mapping[str, Any]], *, without: Sequence[str] = ()
) -> list[str]:
    """A label per run: its method, and the settings in which runs of that method differ.

    Settings in `without`, and all below them, are left out.

    >>> labels(["spos", "spos", "darts"], [{"method.a": 1}, {"method.a": 2}, {}])
    ['spos a=1', 'spos a=2', 'darts']
    """
    found = []
    words: dict[str, dict[str, str]] = {}
    for method in dict.fromkeys(methods):
        own = [one for name, one in zip(methods, settings, strict=True) if name == method]
        keys = [key for key in differing(own) if not _within(key, (*REPLICAS, *without))]
        words[method] = _short_names(keys)
    for method, run in zip(methods, settings, strict=True):
        told = [f"{name}={_value(run[key])}" for key, name in words[method].items() if key in run]
        found.append(" ".join([method, *told]))
    return found


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    """The fewest last words of each key that tell it from the others."""
    parts = {key: _naming(key) for key in keys}
    found = {}
    for key, words in parts.items():
        size = next(
            size
            for size in range(1, len(words) + 1)
            if size == len(words)
            or not any(other != key and parts[other][-size:] == words[-size:] for other in parts)
        )
        found[key] = ".".join(words[-size:])
    return found


def _naming(key: str) -> list[str]:
    """`a.b.enabled` and `a.b._target_` are called b, the candidates of a task like the task."""
    words = key.split(".")
    if len(words) > 1 and words[-1] in ("enabled", "_target_", "candidates"):
        return words[:-1]
    return words


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return text if len(text) <= LENGTH else text[: LENGTH - 1] + "…"


def _plain(key: str, value: Any) -> Any:
    """A class by its name; a list as `a-b`."""
    if key.endswith("_target_"):
        return str(value).rsplit(".", 1)[-1]
    if isinstance(value, list):
        return "-".join(
            str(one) if isinstance(one, str | int | float) else json.dumps(one) for one in value
        )
    return {} if value == {} else value


def _text(value: Any) -> str:
    return json.dumps(canonical(value), sort_keys=True, default=str)


def _within(key: str, places: Sequence[str]) -> bool:
    return any(key == place or key.startswith(f"{place}.") for place in places)


def _other_weights(run: FinishedRun) -> str | None:
    """Weights of the tasks after the first, relative to each other; None for less than two."""
    weights = list(run.result["task_weights"].values())[1:]
    if len(weights) < 2 or not sum(weights) > 0:
        return None
    return ":".join(f"{weight / sum(weights):.3g}" for weight in weights)
