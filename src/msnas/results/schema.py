"""What result.json holds, schema 1, and what every reader relies on in config.yaml.

Keys may be added, not renamed; what was not computed is absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from msnas.config import is_name
from msnas.errors import DataError
from msnas.results.honesty import HonestyNumbers, InterventionNumbers, check_interventions
from msnas.results.records import (
    FoldNumbers,
    Metrics,
    Number,
    RefitNumbers,
    Values,
    open_and_strict,
)
from msnas.results.shifts import ShiftRecord

SCHEMA = 1


def _name(value: str) -> str:
    if not is_name(value):
        raise ValueError("is no name of a file or folder")
    return value


Name = Annotated[str, AfterValidator(_name)]


@open_and_strict
class ChainNumbers(TypedDict):
    """A chain's validation numbers at the end of a stage."""

    selected: dict[str, str]
    valid: Values
    stage: Literal["search", "posttrain"]
    ranked_by: NotRequired[float]
    shifted: NotRequired[dict[str, Number]]
    sigma: NotRequired[Number]


@open_and_strict
class Condition(TypedDict):
    """A conditioned chain's numbers at one point."""

    parameters: dict[str, float]
    valid: NotRequired[Values]
    test: NotRequired[Values]


@open_and_strict
class Winner(TypedDict):
    """The best chain at one point, and what the selected one loses to it."""

    parameters: dict[str, float]
    selected: dict[str, str]
    regret: float


@open_and_strict
class ChainStanding(TypedDict):
    """A chain among the others: see `msnas.confidence.Standing`; latency in seconds per event."""

    selected: dict[str, str]
    loss: Number
    best: Number
    regret: Number
    low: Number
    high: Number
    tied: bool
    parameters: NotRequired[int]
    latency: NotRequired[Number]


@open_and_strict
class ChoiceRecord(TypedDict):
    """How sure a choice is: see `msnas.confidence.Sureness` and `msnas.results.choice.Choice`."""

    confidence: Number
    seeds: Annotated[list[int], Field(min_length=1)]
    events: int
    together: bool
    chains: Annotated[list[ChainStanding], Field(min_length=2)]
    event_error: Number
    seed_error: NotRequired[Number]
    enough_seeds: NotRequired[int]
    enough_events: NotRequired[int]
    default: NotRequired[dict[str, str]]


@open_and_strict
class Stage(TypedDict):
    """What a stage took; where its start was judged, that loss and the one of the kept weights."""

    seconds: float
    epochs: NotRequired[dict[str, int]]
    cached: NotRequired[list[str]]
    cached_seconds: NotRequired[float]
    start: NotRequired[dict[str, float]]
    loss: NotRequired[dict[str, float | None]]


@open_and_strict
class Margin(TypedDict):
    """Share of a task's leading candidate minus the largest other; how it varies between epochs."""

    margin: float
    decided: bool
    noise: NotRequired[float]


@open_and_strict
class Reading(TypedDict):
    """Of which epoch (from 1) of how many a search kept its belief, and the margin by task."""

    epoch: int
    epochs: int
    margins: dict[str, Margin]


@open_and_strict
class Data(TypedDict):
    """The events."""

    events: NotRequired[int]
    sha256: NotRequired[str]
    file: NotRequired[str]
    source: NotRequired[dict[str, Any]]
    classes: NotRequired[dict[str, dict[str, int]]]


@open_and_strict
class Finished(TypedDict):
    """A run that ended well; written in this order."""

    schema: Literal[1]
    problem: Name
    method: Name
    key: NotRequired[Name]
    seed: int
    task_weights: dict[str, float]
    selected: dict[str, str]
    metrics: Metrics
    directions: dict[str, bool | None]
    chains: list[ChainNumbers]
    parameters: NotRequired[int]
    data: Data
    versions: NotRequired[dict[str, str]]
    status: NotRequired[Literal["finished"]]
    point: NotRequired[dict[str, float]]
    conditions: NotRequired[list[Condition]]
    winners: NotRequired[list[Winner]]
    probabilities: NotRequired[dict[str, dict[str, float]]]
    reading: NotRequired[Reading]
    choice: NotRequired[ChoiceRecord]
    stages: NotRequired[dict[str, Stage]]
    interventions: NotRequired[InterventionNumbers]
    honesty: NotRequired[list[HonestyNumbers]]
    shifts: NotRequired[ShiftRecord]
    folds: NotRequired[list[FoldNumbers]]
    refit: NotRequired[RefitNumbers]


@open_and_strict
class Failed(TypedDict):
    """A run that ended with an error."""

    schema: Literal[1]
    status: str
    error: NotRequired[str]
    traceback: NotRequired[str]
    attempts: NotRequired[int]


@open_and_strict
class ProblemSettings(TypedDict):
    """The part of a configuration that says what the problem is."""

    name: Name
    chain: list[Name]


@open_and_strict
class MetricWords(TypedDict):
    """A metric in figures and tables."""

    label: NotRequired[str]
    unit: NotRequired[str]


@open_and_strict
class Words(TypedDict):
    """A task in figures and tables."""

    label: NotRequired[str]
    metrics: NotRequired[dict[str, MetricWords]]


@open_and_strict
class TaskSettings(TypedDict):
    """A task's part of a configuration."""

    candidates: dict[Name, dict[str, Any]]
    output: NotRequired[dict[str, Any]]
    loss: NotRequired[dict[str, Any] | None]
    metrics: NotRequired[dict[str, dict[str, Any]]]
    words: NotRequired[Words]


@open_and_strict
class DataSettings(TypedDict):
    """The part of a configuration that says what the events are."""

    fields: NotRequired[dict[str, dict[str, Any]]]
    source: NotRequired[dict[str, Any]]


@open_and_strict
class MethodSettings(TypedDict):
    """The part of a configuration that says what the method is."""

    name: NotRequired[Name]


@open_and_strict
class Settings(TypedDict):
    """A run's configuration."""

    problem: ProblemSettings
    tasks: dict[Name, TaskSettings]
    data: DataSettings
    method: MethodSettings
    recipe: NotRequired[dict[str, Any]]
    trainer: NotRequired[dict[str, Any]]
    pretrain: NotRequired[dict[str, Any]]
    weighting: NotRequired[dict[str, Any] | None]
    conditioning: NotRequired[dict[str, Any] | None]


@open_and_strict
class ListedRun(TypedDict):
    """A run of a scan."""

    directory: Annotated[str, Field(min_length=1, max_length=3000, pattern=r"^[^\x00]*$")]
    overrides: NotRequired[list[str] | None]
    status: NotRequired[str | None]


@open_and_strict
class ImpossibleRun(TypedDict):
    """A combination of settings of a scan that is no run."""

    overrides: list[str]
    error: str


@open_and_strict
class ScanList(TypedDict):
    """What scan.json holds."""

    schema: Literal[1]
    runs: list[ListedRun]
    impossible: NotRequired[list[ImpossibleRun] | None]


_FINISHED, _FAILED = TypeAdapter(Finished), TypeAdapter(Failed)
_SETTINGS, _SCAN = TypeAdapter(Settings), TypeAdapter(ScanList)


def check_result(result: Mapping[str, Any], *, where: str) -> None:
    """Raise DataError, naming file, key, found and expected, unless it is schema 1."""
    if (schema := result.get("schema")) != SCHEMA:
        raise DataError(f"{where}: schema {schema!r}, expected {SCHEMA}")
    finished = result.get("status", "finished") == "finished"
    _check(_FINISHED if finished else _FAILED, result, where=where)


def check_settings(config: Mapping[str, Any], *, where: str) -> None:
    """The same for a configuration."""
    _check(_SETTINGS, config, where=where)
    if missing := [task for task in config["problem"]["chain"] if task not in config["tasks"]]:
        raise DataError(f"{where}: problem.chain: {missing[0]!r} is no task")


def check_scan(content: Mapping[str, Any], *, where: str) -> None:
    """The same for the list of a scan's runs."""
    _check(_SCAN, content, where=where)


def check_match(result: Mapping[str, Any], config: Mapping[str, Any], *, where: str) -> None:
    """Raise DataError unless a finished run's result is about the chain of its configuration."""
    chain = config["problem"]["chain"]
    weighted = result["task_weights"]
    if not weighted or not set(weighted) <= set(chain):
        raise DataError(f"{where}: task_weights: tasks {list(weighted)}, expected some of {chain}")
    choice = result.get("choice", {})
    named: Iterable[Mapping[str, Any]] = (
        result,
        *result["chains"],
        *(one for key in ("winners", "folds") for one in result.get(key, ())),
        *choice.get("chains", ()),
        *({"selected": default} for default in [choice.get("default")] if default is not None),
    )
    for one in named:
        if set(one["selected"]) != set(chain):
            raise DataError(
                f"{where}: selected: tasks {list(one['selected'])}, expected {list(chain)}"
            )
        for task, candidate in one["selected"].items():
            if candidate not in config["tasks"][task]["candidates"]:
                raise DataError(
                    f"{where}: selected: {candidate!r} is no candidate of {task}; "
                    f"candidates are {list(config['tasks'][task]['candidates'])}"
                )
    check_interventions(result, chain, where=where)


def _check(kind: TypeAdapter[Any], value: object, *, where: str) -> None:
    try:
        kind.validate_python(value)
    except ValidationError as errors:
        first = errors.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])).removesuffix(".float")
        message = f"{where}: {key[:200]}: {first['msg']}, found {repr(first['input'])[:80]}"
        raise DataError(message) from errors
