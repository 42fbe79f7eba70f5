"""Conditioning from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from msnas.build import build
from msnas.chain.chain import Chain
from msnas.chain.task import Task
from msnas.conditioning.conditioning import TASK_WEIGHT, Conditioning, Parameter, Point
from msnas.conditioning.film import Conditioned
from msnas.conditioning.laws import Law
from msnas.errors import ConfigError
from msnas.identity import derived_seed


def build_conditioning(config: Mapping[str, Any] | None, chain: Chain) -> Conditioning | None:
    """The configured conditioning of a chain, None for `conditioning=none`.

    Raises ConfigError for a parameter that is neither `task_weight` nor a scalar of a loss.
    """
    if config is None:
        return None
    given = config["parameters"]
    if not given or len(set(given)) < len(given):
        raise ConfigError(
            "conditioning.parameters: expected a list of different ones of "
            f"{[*_varying(chain), *_weight_of(chain)]}, found {given!r}"
        )
    layers = config["layers"]
    if not isinstance(layers, list) or not all(type(one) is int and one > 0 for one in layers):
        raise ConfigError(f"conditioning.layers: expected whole numbers > 0, found {layers!r}")
    parameters = [_parameter(name, config["laws"], chain) for name in config["parameters"]]
    return Conditioning(parameters, tasks=[task.name for task in chain.supervised()])


def _varying(chain: Chain) -> dict[str, tuple[Task, str]]:
    """Task and name of every scalar that a loss lets vary, by its full key."""
    return {
        f"tasks.{task.name}.loss.{name}": (task, name)
        for task in chain.supervised()
        for name in (task.loss.varying if task.loss else ())
    }


def _weight_of(chain: Chain) -> list[str]:
    return [TASK_WEIGHT] if len(chain.supervised()) == 2 else []


def _check_range(law: Law, *, name: str, task: Task | None) -> None:
    """Raise ConfigError unless the loss allows both ends of the law."""
    low, high = law.limits()
    if task is None:
        if not 0 <= low <= high <= 1:
            raise ConfigError(
                f"conditioning.laws.{name}: range {law.range()}, expected one within [0, 1]"
            )
        return
    assert task.loss is not None
    try:
        task.loss.at({name: torch.tensor([low, high], dtype=torch.float64)})
    except ConfigError as error:
        raise ConfigError(f"conditioning.laws.{name}: range {law.range()}: {error}") from error


def _parameter(given: str, laws: Mapping[str, Any], chain: Chain) -> Parameter:
    tasks = chain.supervised()
    varying = _varying(chain)
    found = [key for key in varying if key == given or key.endswith(f".loss.{given}")]
    task: Task | None
    if given == TASK_WEIGHT:
        if len(tasks) != 2:
            raise ConfigError(
                "conditioning.parameters: task_weight: only for two tasks with a loss, found "
                f"{[task.name for task in tasks]}"
            )
        key, task, name = TASK_WEIGHT, None, TASK_WEIGHT
    elif len(found) == 1:
        key = found[0]
        task, name = varying[key]
    else:
        raise ConfigError(
            f"conditioning.parameters: {given!r} is {'ambiguous' if found else 'not there'}; "
            f"allowed are {[*varying, *_weight_of(chain)]}"
        )
    if name not in laws:
        raise ConfigError(
            f"conditioning.laws.{name}: missing; laws are there for {sorted(laws)}; add one with "
            f"+conditioning.laws.{name}={{_target_: msnas.conditioning.laws.Uniform, ...}}"
        )
    law = build(laws[name], key=f"conditioning.laws.{name}", of=Law)
    _check_range(law, name=name, task=task)
    return Parameter(key=key, task=task.name if task else None, name=name, law=law)


def own_point(
    conditioning: Conditioning, *, first_weight: float, tasks: Mapping[str, Any]
) -> Point:
    """The values a run's own settings give to what it is conditioned on, inside the ranges."""
    return conditioning.inside(
        {
            one.key: first_weight if one.task is None else float(tasks[one.task]["loss"][one.name])
            for one in conditioning.parameters
        }
    )


def condition_chain(
    chain: Chain,
    conditioning: Conditioning,
    few: Mapping[str, Tensor],
    *,
    layers: list[int],
    seed: int,
) -> None:
    """Put every candidate that has parameters into a `Conditioned`, in place.

    `few` events, with truths, show the shapes. A candidate computes what it did before until the
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
