"""Every setting of a run and of a scan: its key, its type, its range. Imports no PyTorch.

The defaults are in conf/. A node with a `_target_` is open: its class decides which keys it takes
(`msnas.arguments`); candidates stay open dictionaries until their grids are expanded.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from pydantic_core import ErrorDetails
from typing_extensions import TypedDict, is_typeddict

from msnas.config import NO_NAME, below, check_name, short, unknown
from msnas.data.compact import MEMORIES
from msnas.errors import ConfigError
from msnas.kinds import (
    AutoOrPositive,
    Name,
    NameOrNull,
    Node,
    Optimizer,
    Positive,
    PositiveNumber,
    Seed,
    Sizes,
    Switch,
    Text,
    TextOrNull,
    Texts,
    expected,
    is_list_of_text,
    is_number,
    one_of,
    whole,
    whole_or_null,
)

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
"""Lightning's names; 16-mixed needs a graphics card."""

MOST_THREADS = 1024
"""Most threads: with more a process may end at once."""

FEWEST_FOLDS = 3
"""One fold to test, one to validate, and at least one to train with."""

PositiveNumberOrNull = expected(
    "a number > 0 or null", lambda value: value is None or (is_number(value) and value > 0)
)
ShareOrNull = expected(
    "a number above 0 and below 1, or null",
    lambda value: value is None or (is_number(value) and 0 < value < 1),
)

closed = with_config(ConfigDict(extra="forbid"))


@closed
class Pretrain(TypedDict):
    """Whether and what to pre-train."""

    enabled: Switch
    only: NotRequired[TextOrNull]


@closed
class Stage(TypedDict):
    """One stage of the training; `msnas.training.course` explains the optional settings."""

    batch: Positive
    epochs: Positive
    patience: Annotated[int | None, whole_or_null(1)]
    lr: NotRequired[Annotated[float | None, PositiveNumberOrNull]]
    schedule: NotRequired[Annotated[str, one_of("constant", "cosine", "one_cycle")]]
    clip: NotRequired[Annotated[float | None, PositiveNumberOrNull]]
    average: NotRequired[Annotated[float | None, ShareOrNull]]
    keep: NotRequired[Annotated[str, one_of("best", "last")]]
    start: NotRequired[Switch]


@closed
class Recipe(TypedDict):
    """How to train."""

    optimizer: Optimizer
    pretrain: Stage
    search: Stage
    posttrain: Stage
    evaluation_batch: Positive


@closed
class Fractions(TypedDict):
    """Shares of the parts of the data."""

    train: PositiveNumber
    valid: PositiveNumber
    test: PositiveNumber


Thin = TypedDict("Thin", {"class": Any, "fraction": Any})  # the classes are those of the data
closed(Thin)


@closed
class Data(TypedDict):
    """Events; other settings refer to `tau_fraction`, `momenta` and `images`."""

    file: NotRequired[Text]
    events: Annotated[
        int | str,
        expected(
            "a number of events or all",
            lambda value: value == "all" or (type(value) is int and value > 0),
        ),
    ]
    split_seed: Seed
    fractions: Fractions
    folds: NotRequired[Annotated[int | None, whole_or_null(FEWEST_FOLDS)]]
    fold: NotRequired[Annotated[int | None, whole_or_null(0)]]
    stratify: TextOrNull
    tau_fraction: NotRequired[Any]
    thin: NotRequired[Thin | None]
    memory: NotRequired[Annotated[str, one_of(*MEMORIES)]]
    momenta: NotRequired[Texts]
    images: NotRequired[Texts]
    frame: NotRequired[Node | None]
    augment: NotRequired[Node | None]
    source: Node
    fields: dict[str, Node]


@closed
class MetricWords(TypedDict):
    """A metric in figures and tables."""

    label: NotRequired[Text]
    unit: NotRequired[Text]


@closed
class Words(TypedDict):
    """A task in figures and tables; no number depends on it."""

    label: NotRequired[Text]
    metrics: NotRequired[dict[str, MetricWords]]
    objects: NotRequired[Texts]  # along axes of the truth: msnas.evaluation.interventions
    variables: NotRequired[Texts]


@closed
class Task(TypedDict):
    """A task of the chain."""

    inputs: Texts
    target: Text
    output: Node
    loss: Node | None
    counts: NotRequired[TextOrNull]
    metrics: dict[str, Node]
    candidates: dict[str, Node]
    validity: NotRequired[Node | None]
    words: NotRequired[Words]


@closed
class Problem(TypedDict):
    """Which tasks, in which order."""

    name: Name
    chain: Texts
    reference_chain: NotRequired[Texts]


@closed
class Conditioning(TypedDict):
    """The parameters that are drawn for every event, and their laws."""

    parameters: Annotated[list[str], expected("a list of different names", is_list_of_text)]
    layers: Sizes
    draws: NotRequired[Annotated[str, one_of("independent", "stratified")]]
    laws: dict[str, Node]


@with_config(ConfigDict(extra="allow"))
class Trainer(TypedDict):
    """The machine; further keys go to Lightning's Trainer (msnas.training.lightning)."""

    accelerator: Annotated[str, one_of("auto", "cpu", "gpu")]
    precision: Annotated[str, one_of(*PRECISIONS)]
    threads: Annotated[int, whole(1, MOST_THREADS)]
    workers: NotRequired[AutoOrPositive]
    gradient_clip_val: NotRequired[Annotated[float | None, PositiveNumberOrNull]]
    gradient_clip_algorithm: NotRequired[Annotated[str | None, one_of(None, "norm", "value")]]


@closed
class Scaling(TypedDict):
    """Sizes of the experiment that measures time against the number of candidates."""

    events: Any
    epochs: Any
    copies: Any


@closed
class Scale(TypedDict):
    """Sizes that experiments refer to; they are checked in the settings that use them."""

    name: Text
    events: Any
    task_weights: Any
    seeds: Any
    more_seeds: Any
    planes: Any
    stride: Any
    width: Any
    width_and_jet: Any
    scaling: Scaling


@closed
class ScanName(TypedDict):
    """The name of a scan."""

    name: NameOrNull


class ScanSettings(TypedDict):
    """Settings of sweep.py, which belong to no run."""

    scan: NotRequired[ScanName]
    retry_failed: NotRequired[Switch]
    dry_run: NotRequired[Switch]
    report: NotRequired[Switch]


class SeedSetting(TypedDict):
    """The setting in which runs differ that are otherwise the same."""

    seed: Seed


@closed
class Settings(ScanSettings, SeedSetting):
    """All settings of a run and of a scan."""

    task_weight: Any  # both are checked against the chain: msnas.weighting.task_weights
    task_weights: dict[str, Any]
    pretrain: Pretrain
    candidate_copies: NotRequired[Positive]  # a run's own config.yaml has the copies instead
    output: Annotated[str, expected("a folder", lambda value: isinstance(value, str) and value)]
    force: Annotated[
        bool | str,
        expected("true, false or all", lambda value: isinstance(value, bool) or value == "all"),
    ]
    allow: NotRequired[Texts]
    recipe: Recipe
    data: Data
    tasks: dict[Name, Task]
    problem: Problem
    method: Node
    selection: NotRequired[Annotated[str, one_of("best", "parsimonious", "lowest_latency")]]
    refit: NotRequired[Annotated[str | None, one_of(None, "all")]]
    weighting: Node
    conditioning: Conditioning | None
    shifts: NotRequired[dict[Name, Node]]
    measurement: NotRequired[Any]  # msnas.measurement.settings
    scale: NotRequired[Scale]
    trainer: Trainer
    logger: Node


OF_A_SCAN = tuple(ScanSettings.__annotations__)
_SETTINGS, _OF_A_SCAN = TypeAdapter(Settings), TypeAdapter(closed(ScanSettings))
_SEED = TypeAdapter(SeedSetting)


def check_settings(config: Mapping[str, Any], *, written: bool = False) -> None:
    """Raise ConfigError, naming key, found and expected, unless a run can be configured so.

    A configuration `written` by a run may be of another version: a key that this version does not
    know does nothing, and is accepted.
    """
    check_typed(_SETTINGS, config, known=Settings, written=written)
    check_name(config["method"].get("name"), key="method.name")


def check_seed(seed: Any) -> None:
    """The same for a seed alone."""
    check_typed(_SEED, {"seed": seed}, known=Settings)


def check_scan_settings(config: Mapping[str, Any]) -> None:
    """Raise ConfigError for impossible settings of a scan."""
    check_typed(_OF_A_SCAN, config, known=ScanSettings)


def check_typed(
    kind: TypeAdapter[Any], config: Mapping[str, Any], *, known: Any, written: bool = False
) -> None:
    """Raise ConfigError, naming the key, unless `config` is of the `known` kind."""
    try:
        kind.validate_python(config)
    except ValidationError as errors:
        found = errors.errors(include_url=False)
        unknowns = [one for one in found if one["type"] == "extra_forbidden"]
        others = [one for one in found if one["type"] != "extra_forbidden"]
        for error in [*([] if written else unknowns), *others]:
            raise _refusal(error, known, config) from errors


def _refusal(error: ErrorDetails, known: Any, config: Mapping[str, Any]) -> ConfigError:
    place = [str(part) for part in error["loc"]]
    node, name = ".".join(place[:-1]), place[-1]
    kind, found = error["type"], short(error["input"])
    if kind == "extra_forbidden":
        return unknown(name, _keys(known, place[:-1]), node=node)
    if kind == "missing":
        chain = problem.get("chain") if isinstance(problem := config.get("problem"), dict) else None
        if isinstance(chain, list) and place[0] == "tasks" and place[1:] and place[1] not in chain:
            return unknown(place[1], map(str, chain), node="tasks")
        return ConfigError(f"{below(node, name)}: missing")
    if kind == "name":
        key = ".".join(place[:-2] if name == "[key]" else place)
        return ConfigError(f"{key}: {found} {NO_NAME}")
    words = "a mapping" if kind == "dict_type" else error["msg"]
    return ConfigError(f"{below(node, name)}: expected {words}, found {found}")


def _keys(kind: Any, place: Iterable[int | str]) -> list[str]:
    """The keys that the node at `place` may have."""
    for part in place:
        if is_typeddict(kind):
            kind = typing.get_type_hints(kind)[str(part)]
        else:
            kind = typing.get_args(kind)[-1]
        if typing.get_origin(kind) is UnionType:  # or null
            kind = typing.get_args(kind)[0]
    return list(typing.get_type_hints(kind))
