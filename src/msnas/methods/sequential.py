"""Training a chain without re-optimisation."""

from __future__ import annotations

import copy
import dataclasses

from msnas.chain.chain import Chain, Path, handed_on
from msnas.data.events import Events
from msnas.errors import ConfigError
from msnas.evaluation.evaluate import collect_outputs
from msnas.training.fit import Fit
from msnas.training.train import Trained


def train_sequentially(chain: Chain, path: Path, fit: Fit) -> tuple[dict[str, Trained], Chain]:
    """Train task after task, each on the frozen outputs of those before (paper, section 4.4.1).

    The first one is the pre-trained candidate. What a task reads is computed once, as nothing
    before it trains. Returns the trainings by `<task>/<name>`, and the chain.
    """
    if without := [task.name for task in chain.tasks if not task.supervised]:
        raise ConfigError(
            f"method.reoptimise=false: {without[0]!r} has no loss of its own and learns only in a "
            "connected chain; use method.reoptimise=true"
        )
    chain = copy.deepcopy(chain.only(path))
    trainings: dict[str, Trained] = {}
    events = fit.events
    with fit.display.stage("Training task after task, on the outputs of those before"):
        for level, (task, name) in enumerate(zip(chain.tasks, path, strict=True)):
            if chain.trainable(level, name):
                trainings[f"{task.name}/{name}"] = (
                    fit.pretrain(chain, level, name)
                    if level == 0
                    else fit.train_behind(chain, level, name, events)
                )
            if level + 1 < len(path):
                events = _with_output(events, chain, path, level, batch=fit.evaluation_batch)
    return trainings, chain


def _with_output(events: Events, chain: Chain, path: Path, level: int, *, batch: int) -> Events:
    """The events, with what the task at `level` hands on."""
    task = chain.tasks[level]
    extended = {}
    for part in ("train", "valid"):
        values = getattr(events, part)
        output = collect_outputs(chain, values, paths=[path], batch=batch)[path[: level + 1]]
        extended[part] = {**values, handed_on(task): task.hand_on(output)}
    return dataclasses.replace(events, **extended)
