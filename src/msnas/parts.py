"""Makes the objects that a plan names: the parts of a run before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch.optim import Optimizer

from msnas.build import build
from msnas.chain.chain import Chain, check_chain
from msnas.chain.from_config import build_chain
from msnas.conditioning.conditioning import Conditioning, Point
from msnas.conditioning.from_config import build_conditioning, condition_chain, own_point
from msnas.data.augment import Augment
from msnas.data.events import Events, load_events
from msnas.data.fields import Field
from msnas.data.frames import Frame
from msnas.errors import ConfigError
from msnas.evaluation.interventions import Interventions
from msnas.evaluation.select_by import MEASUREMENT, WORST_CASE
from msnas.measurement.measurement import Measurement
from msnas.methods.method import Method
from msnas.plan import Plan
from msnas.scoring import Scoring
from msnas.shifts.shift import Shift
from msnas.shifts.shifted import ShiftedEvents
from msnas.training.fit import Fit
from msnas.training.progress import Display
from msnas.training.store import Store
from msnas.training.train import prepare_torch
from msnas.weighting.check import check_weighting
from msnas.weighting.weighting import Weighting

REPEATED: Mapping[bool | str, tuple[str, ...]] = {
    False: (),
    True: ("sequential", "search", "posttrain"),
    "all": ("pretrain", "sequential", "search", "posttrain", "validity"),
}
"""Value of `force` -> the stages whose trainings are repeated."""


def read_events(plan: Plan) -> Events:
    """The events the plan asks for."""
    data = plan.config["data"]
    return load_events(
        plan.source,
        {
            name: build(field, key=f"data.fields.{name}", of=Field)
            for name, field in data["fields"].items()
        },
        events=data["events"],
        split_seed=data["split_seed"],
        fractions=data["fractions"],
        stratify=data["stratify"],
        where=str(data.get("file", plan.config["problem"]["name"])),
        thin=data.get("thin"),
        frame=make_frame(data),
        augment=build(data["augment"], key="data.augment", of=Augment)
        if data.get("augment")
        else None,
        fold=None if data.get("fold") is None else (data["fold"], data["folds"]),
        memory=data.get("memory", "auto"),
    )


def make_frame(data: Mapping[str, Any]) -> Frame | None:
    """The frame that the settings of the data name; None without a frame."""
    settings = data.get("frame")
    return None if settings is None else build(settings, key="data.frame", of=Frame)


@final
@dataclass(frozen=True, kw_only=True)
class Parts:
    """The chain of all candidates with fresh weights, the method, and the training and scoring.

    `weights` are the task weights that judge, by task.
    """

    plan: Plan
    events: Events
    chain: Chain
    method: Method
    weights: dict[str, float]
    conditioning: Conditioning | None
    fit: Fit
    scoring: Scoring

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.plan.config["seed"])

    def condition(self) -> None:
        """Condition the candidates, if so configured; until trained they compute the same."""
        if self.conditioning is not None:
            condition_chain(
                self.chain,
                self.conditioning,
                {name: value[:2] for name, value in self.events.train.items()},
                layers=self.plan.config["conditioning"]["layers"],
                seed=self.seed,
            )


@final
@dataclass(frozen=True, kw_only=True)
class _Named:
    """The parts made without events. `weights` judge, `training_weights` train, by task."""

    chain: Chain
    method: Method
    weights: dict[str, float]
    training_weights: dict[str, float]
    weighting: Weighting
    conditioning: Conditioning | None
    point: Point | None
    shifts: dict[str, Shift]
    measurement: Measurement | None


def check_parts(plan: Plan) -> None:
    """Raise ConfigError for parts that cannot be made, or do not fit, whatever the events."""
    config = plan.config
    named = _make(plan, {})
    parameters = [*named.chain.parameters()] or [torch.nn.Parameter(torch.zeros(1))]
    build(config["recipe"]["optimizer"], key="recipe.optimizer", of=Optimizer, params=parameters)
    judged = {name: one for name in plan.chain if (one := config["tasks"][name].get("validity"))}
    if judged:
        # gpytorch takes a second to import
        from msnas.evaluation.validity import Validity

        for name, settings in judged.items():
            build(settings, key=f"tasks.{name}.validity", of=Validity)


def _make(plan: Plan, fields: Mapping[str, Field]) -> _Named:
    config = plan.config
    chain = build_chain(config["tasks"], plan.chain, seed=config["seed"], fields=fields)
    conditioning = build_conditioning(config["conditioning"], chain)
    settings = {name: value for name, value in config["method"].items() if name != "name"}
    method = build(settings, key="method", of=Method)
    weights = _judging_weights(plan, method)
    point = None
    if conditioning is not None:
        point = own_point(conditioning, weights=weights, tasks=config["tasks"])
    drawn = conditioning is not None and conditioning.of_task_weights
    training_weights = {name: 1 / len(weights) for name in weights} if drawn else weights
    weighting = build(config["weighting"], key="weighting", of=Weighting)
    weighting.prepare(list(training_weights.values()))
    check_weighting(
        weighting,
        given=plan.weights_given,
        drawn=drawn,
        last_task_only=None if method.intermediate_loss else config["method"]["name"],
        precision=plan.machine["precision"],
    )
    if conditioning is not None and config["method"].get("reoptimise") is False:
        raise ConfigError(
            "method.reoptimise=false: a chain trained task after task cannot be conditioned; "
            "use conditioning=none or method.reoptimise=true"
        )
    if (by := config.get("selection")) is not None and not method.ranks:
        raise ConfigError(
            f"selection: {by} takes a chain of those that a method ranks by their loss, found "
            f"method={config['method']['name']}; allowed are methods "
            "that rank, such as grid_search and spos, or selection=best"
        )
    shifts = {
        name: build(shift, key=f"shifts.{name}", of=Shift)
        for name, shift in config.get("shifts", {}).items()
    }
    if config["method"].get("select_by") == WORST_CASE and not shifts:
        raise ConfigError(
            f"method.select_by: {WORST_CASE} needs shifts, found none; "
            "declare some with shift@shifts.<name>=<option>"
        )
    if (by := config["method"].get("select_by")) == MEASUREMENT and "measurement" not in config:
        raise ConfigError(
            f"method.select_by: {by} needs a measurement, found none; choose it with "
            "measurement=<option>"
        )
    measurement = Measurement(config["measurement"], chain) if config.get("measurement") else None
    method.check(chain, weighting)
    return _Named(
        chain=chain,
        method=method,
        weights=weights,
        training_weights=training_weights,
        weighting=weighting,
        conditioning=conditioning,
        point=point,
        shifts=shifts,
        measurement=measurement,
    )


def make_parts(
    plan: Plan,
    events: Events,
    *,
    store: Store,
    display: Display,
    epochs: Mapping[tuple[str, str], int] | None = None,
) -> Parts:
    """Make the parts; raise ConfigError if they do not fit together. `epochs` is for `Fit`."""
    named = _make(plan, events.fields)
    chain, conditioning, weighting = named.chain, named.conditioning, named.weighting
    check_chain(chain, events.train)
    words = {task: plan.config["tasks"][task].get("words") or {} for task in plan.chain}
    interventions = Interventions(chain, events.train, words)
    for task in chain.tasks:
        task.fit_loss(events.train)
    return Parts(
        plan=plan,
        events=events,
        chain=chain,
        method=named.method,
        weights=named.weights,
        conditioning=conditioning,
        fit=Fit(
            plan,
            events,
            weighting=weighting,
            task_weights=named.training_weights,
            conditioning=conditioning,
            store=store,
            display=display,
            epochs=epochs,
        ),
        scoring=Scoring(
            plan,
            events,
            conditioning=conditioning,
            point=named.point,
            weighting=weighting,
            weights=named.weights,
            interventions=interventions,
            shifted=ShiftedEvents(events, named.shifts),
            measurement=named.measurement,
            store=store,
            display=display,
        ),
    )


def ready_parts(
    plan: Plan,
    display: Display,
    *,
    since: int | None = None,
    closed: bool = False,
    wait: bool = True,
) -> Parts:
    """The parts of the run on its events, with fresh weights.

    Trainings that `force` names are repeated if they were done before `since` [ns]. With a `closed`
    store nothing is trained; one that does not `wait` leaves to other processes what they train.
    """
    prepare_torch(threads=plan.machine["threads"])
    repeat = REPEATED[plan.config["force"]] if since is not None else ()
    folder = plan.output / "cache"
    store = Store(folder, repeat=repeat, since=since or 0, closed=closed, wait=wait)
    return make_parts(plan, read_events(plan), store=store, display=display)


def _judging_weights(plan: Plan, method: Method) -> dict[str, float]:
    """The plan's weights, or 1 for the last task alone if the method uses no intermediate loss."""
    if method.intermediate_loss:
        return plan.weights
    if plan.weights_given:
        raise ConfigError(
            f"task_weight, task_weights: method={plan.config['method']['name']} trains on the "
            "last task's loss alone; leave them out"
        )
    return {name: float(name == plan.tasks[-1]) for name in plan.tasks}
