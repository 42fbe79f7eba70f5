"""Builds tasks and chains from their configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch

from msnas.build import build
from msnas.chain.chain import Chain
from msnas.chain.output import Output
from msnas.chain.task import Task
from msnas.data.fields import Field
from msnas.errors import ConfigError
from msnas.identity import derived_seed
from msnas.libraries import Metric
from msnas.losses.loss import Loss

NO_FIELDS: Mapping[str, Field] = MappingProxyType({})


def build_tasks(
    tasks: Mapping[str, Any], chain: Sequence[str], fields: Mapping[str, Field] = NO_FIELDS
) -> list[Task]:
    """The tasks of `chain`, in its order; `fields` hold the units of the tasks' targets."""
    return [
        Task(
            name=name,
            inputs=tuple(tasks[name]["inputs"]),
            target=tasks[name]["target"],
            output=build(tasks[name]["output"], key=f"tasks.{name}.output", of=Output),
            loss=_build_loss(tasks[name]["loss"], task=name),
            metrics={
                metric: build(config, key=f"tasks.{name}.metrics.{metric}", of=Metric)
                for metric, config in tasks[name]["metrics"].items()
            },
            counts=tasks[name].get("counts"),
            field=fields.get(tasks[name]["target"]),
        )
        for name in chain
    ]


def _build_loss(config: Mapping[str, Any] | None, *, task: str) -> Loss | None:
    if config is None:
        return None
    try:
        return build(config, key=f"tasks.{task}.loss", of=Loss)
    except ConfigError as error:  # a loss does not know the name of its task
        text = str(error)
        raise ConfigError(f"tasks.{task}.{text}" if text.startswith("loss.") else text) from error


def build_chain(
    tasks: Mapping[str, Any],
    chain: Sequence[str],
    *,
    seed: int,
    fields: Mapping[str, Field] = NO_FIELDS,
) -> Chain:
    """A chain with all candidates, freshly initialised; `fields` hold the units of the targets.

    A candidate's initial weights depend only on (seed, task, name), not on the other candidates.
    """
    candidates: dict[str, dict[str, torch.nn.Module]] = {}
    for name in chain:
        candidates[name] = {}
        for candidate, config in tasks[name]["candidates"].items():
            with torch.random.fork_rng():
                torch.manual_seed(derived_seed(seed, "initial", name, candidate))
                candidates[name][candidate] = build(
                    config, key=f"tasks.{name}.candidates.{candidate}", of=torch.nn.Module
                )
    return Chain(build_tasks(tasks, chain, fields), candidates)
