"""Conditioning from its configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from msnas.build import build
from msnas.chain.chain import Chain
from msnas.chain.task import Task
from msnas.conditioning.conditioning import (
    TASK_WEIGHT,
    TASK_WEIGHTS,
    Conditioning,
    Parameter,
    Point,
)
from msnas.conditioning.film import Conditioned
from msnas.conditioning.laws import Law
from msnas.errors import ConfigError
from msnas.identity import derived_seed

STRATIFIED = "stratified"


def build_conditioning(config: Mapping[str, Any] | None, chain: Chain) -> Conditioning | None:
    """The configured conditioning of a chain, None for `conditioning=none`.

    Raises ConfigError for a parameter that is no weight of tasks and no scalar of a loss.
    """
    if config is None:
        return None
    given = config["parameters"]
    if not given or len(set(given)) < len(given):
        raise ConfigError(
            "conditioning.parameters: expected a list of different names of "
            f"{[*_varying(chain), *_weights_of(chain)]}, found {given!r}"
        )
    layers = config["layers"]
    if not isinstance(layers, list) or not all(type(one) is int and one > 0 for one in layers):
        raise ConfigError(f"conditioning.layers: expected whole numbers > 0, found {layers!r}")
    if TASK_WEIGHT in given and TASK_WEIGHTS in given:
        raise ConfigError(
            f"conditioning.parameters: {TASK_WEIGHT} and {TASK_WEIGHTS} exclude each other"
        )
    parameters = [one for name in given for one in _parameters(name, config["laws"], chain)]
    return Conditioning(
        parameters,
        tasks=[task.name for task in chain.supervised()],
        stratified=config.get("draws") == STRATIFIED,
    )


def _varying(chain: Chain) -> dict[str, tuple[Task, str]]:
    """Task and name of every scalar that a loss lets vary, by its full key."""
    return {
        f"tasks.{task.name}.loss.{name}": (task, name)
        for task in chain.supervised()
        for name in (task.loss.varying if task.loss else ())
    }


def _weights_of(chain: Chain) -> list[str]:
    return {2: [TASK_WEIGHT, TASK_WEIGHTS]}.get(len(chain.supervised()), [TASK_WEIGHTS])


def _law(name: str, laws: Mapping[str, Any]) -> Law:
    if name not in laws:
        raise ConfigError(
            f"conditioning.laws.{name}: missing; laws are there for {sorted(laws)}; add one with "
            f"+conditioning.laws.{name}={{_target_: msnas.conditioning.laws.Uniform, ...}}"
        )
    return build(laws[name], key=f"conditioning.laws.{name}", of=Law)


def _weight_law(name: str, laws: Mapping[str, Any], *, highest: float) -> Law:
    """The law of a weight between 0 and `highest`."""
    law = _law(name, laws)
    low, high = law.limits()
    if not 0 <= low <= high <= highest:
        raise ConfigError(
            f"conditioning.laws.{name}: range {law.range()}, expected one within [0, {highest:g}]"
        )
    return law


def _parameters(given: str, laws: Mapping[str, Any], chain: Chain) -> list[Parameter]:
    """The parameters that a word of `conditioning.parameters` stands for."""
    names = [task.name for task in chain.supervised()]
    varying = _varying(chain)
    meant = [key for key in varying if key == given or key.endswith(f".loss.{given}")]
    if given == TASK_WEIGHT and len(names) != 2:
        raise ConfigError(
            "conditioning.parameters: task_weight: only for two tasks with a loss, found "
            f"{names}; for any chain there is {TASK_WEIGHTS}"
        )
    if given == TASK_WEIGHT:
        law = _weight_law(given, laws, highest=1)
        return [Parameter(key=given, task=names[0], scalar=None, law=law)]
    if given == TASK_WEIGHTS and len(names) < 2:
        raise ConfigError(
            f"conditioning.parameters: {given}: only for several tasks with a loss, found {names}"
        )
    if given == TASK_WEIGHTS:
        law = _weight_law(given, laws, highest=math.inf)
        return [
            Parameter(key=f"{given}.{name}", task=name, scalar=None, law=law) for name in names[:-1]
        ]
    if len(meant) != 1:
        raise ConfigError(
            f"conditioning.parameters: {given!r} is {'ambiguous' if meant else 'not there'}; "
            f"allowed are {[*varying, *_weights_of(chain)]}"
        )
    task, name = varying[meant[0]]
    assert task.loss is not None
    law = _law(name, laws)
    try:
        task.loss.at({name: torch.tensor(law.limits(), dtype=torch.float64)})
    except ConfigError as error:
        raise ConfigError(f"conditioning.laws.{name}: range {law.range()}: {error}") from error
    return [Parameter(key=meant[0], task=task.name, scalar=name, law=law)]


def own_point(
    conditioning: Conditioning, *, weights: Mapping[str, float], tasks: Mapping[str, Any]
) -> Point:
    """The run's own values of the parameters that it is conditioned on, inside the ranges.

    `weights` are its task weights. Raises ConfigError where they are relative to a weight of 0.
    """
    last = conditioning.tasks[-1]

    def own(one: Parameter) -> float:
        if one.scalar is not None:
            return float(tasks[one.task]["loss"][one.scalar])
        if one.key == TASK_WEIGHT:
            return weights[one.task]
        if weights[last] == 0:
            raise ConfigError(
                f"{TASK_WEIGHTS}.{last}: expected a number > 0, found 0: the other weights are "
                "relative to it"
            )
        return weights[one.task] / weights[last]

    return conditioning.inside({one.key: own(one) for one in conditioning.parameters})


def condition_chain(
    chain: Chain,
    conditioning: Conditioning,
    few: Mapping[str, Tensor],
    *,
    layers: list[int],
    seed: int,
) -> None:
    """Wrap every candidate that has trainable parameters in a `Conditioned`, in place.

    `few` events, with truths, give the shapes. A candidate computes the same as before until the
    new weights are trained.
    """
    chain.eval()
    truths = {task.target: task.output.from_truth(few[task.target]) for task in chain.supervised()}
    values = {**chain.start(few), **truths}
    for level, task in enumerate(chain.tasks):
        names = chain.names()[level]
        if not task.supervised:
            with torch.no_grad():
                output = task.output.finish(chain.apply_candidate(level, names[0], values))
            values[task.target] = task.hand_on(output)
        for name in names:
            candidate = chain.candidate(level, name)
            inputs = {key: values[key] for key in chain.inputs(level, name)}
            if not any(value.requires_grad for value in candidate.parameters()):
                continue
            with torch.random.fork_rng():
                torch.manual_seed(derived_seed(seed, "film", task.name, name))
                chain.replace(
                    level,
                    name,
                    Conditioned(
                        candidate,
                        partial(_apply, inputs=inputs),
                        inputs=len(conditioning.parameters),
                        layers=layers,
                    ),
                )


def _apply(candidate: nn.Module, *, inputs: Mapping[str, Tensor]) -> Tensor:
    output: Tensor = candidate(inputs)
    return output
