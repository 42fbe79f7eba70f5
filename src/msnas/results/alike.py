"""Which runs are alike: their settings, what differs, and labels for it. Imports no PyTorch.

All comparisons of runs rest on this notion. A setting is named as in the configuration,
`a.b.c`; a place such as `tasks.*.validity` means all settings below it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from msnas.identity import canonical, digest
from msnas.results.result import Result

NO_NUMBER = (
    *("output", "logger", "force", "retry_failed", "dry_run", "hydra", "task_weight"),
    *("task_weights", "problem", "method.name", "tasks.*.words", "refit"),
)
"""Settings that change no number, or that `settings_of` gives under another name."""

PATHS = ("file", "path", "folder", "directory")
"""Last words of settings that are paths: data are compared by their content, not their place."""

ESSENTIAL = ("precision", "gradient_clip_val", "gradient_clip_algorithm")
"""Settings of the trainer that change results by more than rounding."""

OWN_COLUMNS = ("name", "seed", "weight")
"""Settings that tables and labels show anyway: problem and method, seed, task weights."""

SPLIT = ("data.split_seed",)
"""A run on another split of the same events counts as a repetition."""

METHOD = ("name.method", "method", "recipe.search")
"""Settings of the search method, and of the training of its super-network."""

WEIGHTS = ("weight", "task_weights", "weighting", "conditioning")
"""Settings of the task weights."""

JUDGE = ("recipe.evaluation_batch", "tasks.*.validity")
"""Settings of the evaluation, which influence neither training nor selection."""

LENGTH = 60
"""Longest value of a setting in a label [characters]."""

Settings = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Alike:
    """Runs, in the given order, with equal `settings`; settings allowed to differ are left out."""

    settings: Settings
    runs: Sequence[Result]

    def labelled(self, *, without: Sequence[str] = ()) -> list[tuple[str, Result]]:
        """Every run with its label (see `labels`), in the order of the labels."""
        told = labels(self.runs, without=without)
        return sorted(zip(told, self.runs, strict=True), key=lambda one: one[0])

    def by_label(self, *, without: Sequence[str] = ()) -> dict[str, dict[int, Result]]:
        """The runs by label and seed, both in order; of a label's runs with one seed, the first."""
        found: dict[str, dict[int, Result]] = {}
        for label, run in self.labelled(without=without):
            found.setdefault(label, {}).setdefault(run.seed, run)
        return {label: dict(sorted(runs.items())) for label, runs in found.items()}


def alike(runs: Sequence[Result], *, but_for: Sequence[str] = ()) -> list[Alike]:
    """Groups of runs that differ only in the settings `but_for` and in those of the machine.

    The groups are in the order of their first runs.
    """
    groups: dict[frozenset[tuple[str, str]], list[Result]] = {}
    for run in runs:
        texts = _texts_of(run)
        same = frozenset((key, texts[key]) for key in _shared(tuple(texts), tuple(but_for)))
        groups.setdefault(same, []).append(run)
    found = []
    for ones in groups.values():
        settings = settings_of(ones[0])
        shared = _shared(tuple(settings), tuple(but_for))
        found.append(Alike(settings={key: settings[key] for key in shared}, runs=ones))
    return found


@lru_cache(maxsize=10_000)
def _shared(keys: tuple[str, ...], but_for: tuple[str, ...]) -> list[str]:
    """The settings that alike runs have in common."""
    return [key for key in keys if not within(key, but_for) and not _is_machine(key)]


def largest(runs: Sequence[Result], *, but_for: Sequence[str] = ()) -> tuple[list[Result], int]:
    """The largest group (the first if several), each key once; and the number of other runs."""
    groups = alike(runs, but_for=but_for)
    found = max((group.runs for group in groups), key=len, default=[])
    return list({run.key: run for run in found}.values()), len(runs) - len(found)


@lru_cache(maxsize=10_000)
def settings_of(run: Result) -> Settings:
    """Every setting of a run that can change a number, as `a.b.c`.

    Added are: `name.problem` and `name.method`; `problem.chain`; a task's candidates as a single
    setting; a checksum of the data as `data.content`; the normalised task weights `weight.<task>`,
    and the weights of the tasks after the first, relative to each other: `task_weights.others`.
    """
    config = run.config
    settings = flat(config)
    but_for = NO_NUMBER if run.searched_together else (*NO_NUMBER, "recipe.search")
    found = {key: settings[key] for key in _that_count(tuple(settings), but_for)}
    for task, names in zip(run.tasks, run.candidates, strict=True):
        found[f"tasks.{task}.candidates"] = ",".join(names)
    found["data.content"] = digest([run.data.get("sha256"), run.data.get("source")])[:8]
    if conditioning := config.get("conditioning"):
        found["conditioning"] = conditioning.get("parameters", "yes")
    found |= {"name.problem": run.problem, "name.method": run.method, "seed": run.seed}
    found["problem.chain"] = run.tasks
    found |= {f"weight.{task}": round(one, 9) for task, one in run.task_weights.items()}
    if (others := _other_weights(run)) is not None:
        found["task_weights.others"] = others
    return {key: value for key, value in found.items() if value is not None}


@lru_cache(maxsize=1_000)
def _that_count(keys: tuple[str, ...], but_for: tuple[str, ...]) -> list[str]:
    """The settings that can change a number, under their own name."""
    return [key for key in keys if not within(key, but_for) and key.split(".")[-1] not in PATHS]


def differing(settings: Sequence[Settings]) -> list[str]:
    """Names of the settings whose values differ between runs; `settings` are from `settings_of`.

    A missing setting counts as a value. But the settings of a part, such as a candidate, a loss or
    a method, are compared only among runs with that same part: the part itself is a setting.
    Settings in `OWN_COLUMNS` are left out.
    """
    keys = dict.fromkeys(key for run in settings for key in run)
    things = [_things(frozenset(run)) for run in settings]
    found = []
    for key in keys:
        each = [run.get(key) for run in settings]
        if len(set(map(repr, each))) < 2 or len(set(map(_text, each))) < 2:  # most: the same
            continue
        parent = key.rpartition(".")[0]
        whole = key.endswith("._target_")
        values: dict[str, set[str]] = {}
        for run, there in zip(settings, things, strict=True):
            if parent and parent not in there:
                continue
            kind = "" if whole else str(run.get(f"{parent}._target_"))
            values.setdefault(kind, set()).add(_text(run.get(key)))
        if (
            any(len(one) > 1 for one in values.values())
            and key != "method._target_"
            and not within(key, OWN_COLUMNS)
        ):
            found.append(key)
    return found


def labels(runs: Sequence[Result], *, without: Sequence[str] = ()) -> list[str]:
    """A label per run: its method, and the settings in which runs of that method differ.

    Labels leave out the settings `without`, those of the machine, and the split of the events.
    """
    return labels_of(
        [run.method for run in runs], [settings_of(run) for run in runs], without=without
    )


def labels_of(
    methods: Sequence[str], settings: Sequence[Settings], *, without: Sequence[str] = ()
) -> list[str]:
    """The labels of runs with these methods and settings (see `labels`).

    >>> labels_of(["spos", "spos", "darts"], [{"method.a": 1}, {"method.a": 2}, {}])
    ['spos a=1', 'spos a=2', 'darts']
    """
    found = list(methods)
    for method in dict.fromkeys(methods):
        places = [place for place, name in enumerate(methods) if name == method]
        own = [settings[place] for place in places]
        keys = [
            key
            for key in differing(own)
            if not within(key, (*SPLIT, *without)) and not _is_machine(key)
        ]
        for key, name in _short_names(keys).items():
            for place, value in zip(places, column(key, own), strict=True):
                if value is not None:
                    found[place] += f" {name}={_value(value)}"
    return found


def column(key: str, settings: Sequence[Settings]) -> list[Any]:
    """Values of a setting: a class as its name, a list as `a-b`; None for runs without the setting.

    Where that would make different values equal, all values are written in full.
    """
    values = [run.get(key) for run in settings]
    plain = [_plain(key, value) for value in values]
    if len(set(map(_text, plain))) < len(set(map(_text, values))):
        return [_text(value) if isinstance(value, list | dict) else value for value in values]
    return plain


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings, flattened to keys `a.b.c`."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if value and isinstance(value, dict):
            found.update(flat(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = value
    return found


def within(key: str, places: Sequence[str]) -> bool:
    """Whether a setting is one of `places`, or nested below one of them.

    >>> within("tasks.a.loss.gamma", ["tasks.*.loss"]), within("method.name", ["meth"])
    (True, False)
    """
    return _within(key, tuple(places))


@lru_cache(maxsize=100_000)
def _within(key: str, places: tuple[str, ...]) -> bool:
    return any(
        key == place
        or key.startswith(f"{place}.")
        or ("*" in place and (fnmatchcase(key, place) or fnmatchcase(key, f"{place}.*")))
        for place in places
    )


def _is_machine(key: str) -> bool:
    return key.startswith("trainer.") and key.removeprefix("trainer.") not in ESSENTIAL


@lru_cache(maxsize=10_000)
def _things(keys: frozenset[str]) -> set[str]:
    """What the settings belong to: the beginnings of their names."""
    words = [key.split(".") for key in keys]
    return {".".join(one[:size]) for one in words for size in range(1, len(one))}


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    """The shortest ending of each key, in words, that no other key shares."""
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
    if key.endswith("_target_") and value is not None:
        return str(value).rsplit(".", 1)[-1]
    if isinstance(value, list):
        return "-".join(
            str(one) if isinstance(one, str | int | float) else json.dumps(one) for one in value
        )
    return {} if value == {} else value


@lru_cache(maxsize=10_000)
def _texts_of(run: Result) -> dict[str, str]:
    return {key: _text(value) for key, value in settings_of(run).items()}


def _text(value: Any) -> str:
    """The same for equal values."""
    if isinstance(value, list | dict):
        return sys.intern(_dumped(value))
    return _dumped_once(value)


def _dumped(value: Any) -> str:
    return json.dumps(canonical(value), sort_keys=True, default=str)


_dumped_once = lru_cache(maxsize=10_000, typed=True)(_dumped)


def _other_weights(run: Result) -> str | None:
    """Weights of the tasks after the first, relative to each other; None if fewer than two."""
    others = list(run.task_weights.values())[1:]
    if len(others) < 2 or not sum(others) > 0:
        return None
    return ":".join(f"{weight / sum(others):.3g}" for weight in others)
